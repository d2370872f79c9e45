/* What the parts of the guest's first process share: kernel command line, console lines, seed and network. */
#ifndef BANGER_INIT_H
#define BANGER_INIT_H

#include <stddef.h>

/* Runs as pid 1: boots the guest and becomes the image's own init. Returns only when that is impossible. */
int init_main(void);

/* One line on the console, prefixed with the program's name. With `error` != 0 its text is appended. */
void init_say(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The value of `key` in the kernel command line, or NULL. Points into static memory; valid until exit. */
const char *init_option(const char *key);

/* Loads what /modules.list in the first root names, as far as this machine has a use for it. */
void modules_load(void);

/* Makes the file system at /, which is on `device`, fill it where that was made larger; else it costs one read. */
void root_grow(const char *device);

/*
 * Unpacks the ustar archive read from `archive` over the directory `root`. Entries that name `..`, that are of an
 * unknown type or that cannot be written are reported and left out. Returns how many were left out, -1 when
 * the archive itself cannot be read to its end.
 */
int seed_unpack(int archive, int root);

/* Brings `lo` up, and `eth0` with `address` ("a.b.c.d/n") and the default route through `gateway`. Either may be NULL. */
void net_up(const char *address, const char *gateway);

#endif

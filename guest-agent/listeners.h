/* What listens in the guest, and which process it belongs to. */
#ifndef BANGER_LISTENERS_H
#define BANGER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LISTENERS_MAX 256

struct listener {
  char proto[4]; /* "tcp" or "udp", over IPv4 and IPv6 */
  char address[46];
  unsigned port;
  unsigned long inode;
  pid_t pid; /* 0: the kernel's own, or unknown */
  char process[32], command[256];
};

/*
 * Brings `list` up to date, sorted; it must be zero at first, and kept between calls. Processes are searched only
 * when another set of sockets listens than before. Tells whether anything changed.
 */
bool listeners_update(struct listener list[LISTENERS_MAX], size_t *length);

#endif

/* Launcher: what stands between banger's Node and a program that outlives its caller. docs/inherited.md has the table. */
#ifndef BANGER_LAUNCHER_H
#define BANGER_LAUNCHER_H

#include <stddef.h>

/* Exit statuses beside the program's own, which takes the launcher's place. */
enum { EXIT_USAGE = 64, EXIT_SYSTEM = 71, EXIT_ANOTHER = 75, EXIT_NOT_EXECUTED = 126, EXIT_NOT_FOUND = 127 };

enum { MOST_PATHS = 256 };

/* What a confined program may open: `read` to read, map and execute, `write` to change as well. */
struct confinement {
  const char *read[MOST_PATHS], *write[MOST_PATHS];
  size_t reads, writes;
};

/* Prints "banger-launcher: WHAT: cause of errno" and ends the process. */
_Noreturn void fail(int status, const char *what);

/* attributes.c: nothing of the caller's but what docs/inherited.md leaves it. Says on stderr what it may not put back. */
void reset_attributes(void);
/* The part of it that a daemon, whose own attributes are in order, has to do for what it starts. */
void clean_process(void);
/* Limits of a program that runs what strangers wrote. */
void bound_vmm(void);

/* landlock.c */
int landlock_version(void);
/* False where the kernel has no Landlock. */
int confine(const struct confinement *allowed);

/* capabilities.c: of root's, only those that a VMM needs are left; nobody gets new ones. */
void drop_privileges(const struct confinement *allowed);

/* log.c: standard input to standard output, a file that keeps a bounded end of it; until there is no more. */
int keep_log(void);
/* What this process prints goes through one that does so, where it would go to a file. */
void bound_output(void);

/* network.c: in a network of its own, where nothing is, if this host lets this user make one. */
void leave_network(void);

/* kvm.c: prints "ok", or what keeps a VM from being made. */
int try_kvm(const char *device);

#endif

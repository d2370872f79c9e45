/*
 * The event loop's parts. Nothing registers a callback: before each wait every part names the descriptors and the
 * deadline it waits for, and after it every part looks at what it has. So no wake-up can be lost, and nothing that
 * was freed can be called.
 */
#ifndef BANGER_LOOP_H
#define BANGER_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One descriptor; `ready` holds the poll(2) events of the last wait until its owner takes them. */
struct source {
  int fd; /* -1 when closed */
  short ready;
};

/* Milliseconds since boot. */
int64_t now_ms(void);

/* Starts a round: forgets what the last one waited for. */
void loop_begin(void);

/* Waits in this round for `events` on the source. */
void loop_want(struct source *source, short events);

/* Ends this round's wait at `at_ms` (see now_ms) at the latest. */
void loop_until(int64_t at_ms);

/* Waits; afterwards each wanted source's `ready` is set. */
void loop_wait(void);

void source_close(struct source *source);

/*
 * A process that the agent started as the leader of its own session. It is not reaped before it is released, so
 * that its number cannot come to mean another process while somebody may still send it a signal.
 */
struct child {
  pid_t pid;
  bool exited;
  int code;   /* exit status, when `signal` is 0 */
  int signal; /* the signal that ended it, or 0 */
  bool released;
  int64_t kill_at_ms; /* 0: not condemned */
  struct child *next;
};

/* Makes SIGCHLD wake the loop. Returns 0, or -1 with errno. */
int children_start(void);

/* Notes which children ended and kills those whose grace has passed. Once a round. */
void children_check(void);

/* Names what children_check waits for. */
void children_watch(void);

/* Takes charge of a process just forked. NULL when memory is out; the process is then killed. */
struct child *child_new(pid_t pid);

/* Sends `number` to the child's process group. */
void child_signal(struct child *child, int number);

/* The caller has no more interest; the child is reaped when it ends and then freed. */
void child_release(struct child *child);

/* SIGHUP to the process group now, SIGKILL after two seconds, and release. */
void child_condemn(struct child *child);

#endif

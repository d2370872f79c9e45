/* A process that was started for POST /exec, and the line between it and its host. */
#ifndef BANGER_PROCESS_H
#define BANGER_PROCESS_H

#include "exec.h"
#include "line.h"
#include "loop.h"

/* Input that the host may send ahead of credit: kept apart from the stream, so that signals never wait behind it. */
#define STDIN_WINDOW 65536

struct output {
  struct source source;
  int owed; /* bytes in the pipe when the process ended */
};

/* Commands with an id that the host may still ask for. */
#define SESSIONS_MAX 64

struct exec {
  struct line line;
  char id[SESSION_ID_MAX + 1]; /* empty: it ends with its stream */
  int64_t grace_ms, until_ms;  /* without a stream it is given up then */
  struct exec *next;
  struct child *child; /* NULL when it is over */
  bool tty, started, stdin_eof, ended;
  struct source failure, in;
  struct output out, err;
  struct buffer stdin_data;
  uint32_t stdin_granted; /* bytes of input that the host may still send */
  int64_t linger_until_ms;
};

/* Everything that the process and its host allow. Returns 0, or -1 when the host does not speak the protocol. */
int process_work(struct exec *exec);
/* Names what process_work waits for. */
void process_watch(struct exec *exec);
/* Closes its descriptors. */
void process_close(struct exec *exec);

#endif

/* Runs a process on a stream. */
#ifndef BANGER_EXEC_H
#define BANGER_EXEC_H

#include "spawn.h"
#include "stream.h"

#define SESSION_ID_MAX 64

/* What of a command outlives its stream. Without an id nothing does. */
struct exec_session {
  const char *id;    /* made by the host; NULL, or at most SESSION_ID_MAX long */
  long received;     /* of its frames; -1: it may not have been begun */
  long grace_ms;     /* how long it goes on without a stream */
};

/*
 * Starts the process, or goes on with the one of that id; from now on frames travel both ways, behind `greeting`.
 * Returns 0, or -1 with errno, the stream as it was: ESRCH where there is nothing to go on with.
 */
int exec_begin(struct stream *stream, const char *greeting, const struct spawn_request *request,
               const struct exec_session *session);

/* Hangs up the process of that id, where there is one, and forgets it. */
void exec_hang_up(const char *id);

/* Commands whose host is away for the moment. */
void execs_pump(void);
void execs_watch(void);

#endif

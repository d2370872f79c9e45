/* Runs a process on a stream. */
#ifndef BANGER_EXEC_H
#define BANGER_EXEC_H

#include "spawn.h"
#include "stream.h"

/* Starts the process; from now on frames travel both ways. Returns 0, or -1 with errno, the stream as it was. */
int exec_begin(struct stream *stream, const struct spawn_request *request);

#endif

/*
 * POST /exec: a command on its stream. One with an id outlives the stream: it goes on until a ring is full of what it
 * wrote, its host comes back, or the grace is over.
 */
#define _GNU_SOURCE
#include "exec.h"

#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Commands with an id that the host may still ask for. */
#define SESSIONS_MAX 64

static struct exec *sessions;

static struct exec *find(const char *id) {
  struct exec *exec = sessions;
  while (exec && strcmp(exec->id, id) != 0) exec = exec->next;
  return exec;
}

static void free_exec(struct exec *exec) {
  for (struct exec **at = &sessions; *at; at = &(*at)->next) {
    if (*at != exec) continue;
    *at = exec->next;
    break;
  }
  process_close(exec);
  buffer_close(&exec->stdin_data);
  line_close(&exec->line);
  free(exec);
}

static void give_up(struct exec *exec) {
  if (exec->child) child_condemn(exec->child);
  free_exec(exec);
}

static void detach(struct exec *exec) {
  exec->line.stream = NULL;
  exec->until_ms = now_ms() + exec->grace_ms;
}

static void drop_exec(struct stream *stream) {
  struct exec *exec = stream->state;
  if (*exec->id) detach(exec);
  else give_up(exec);
}

static void pump_exec(struct exec *exec) {
  if (exec->child && process_work(exec) < 0) {
    stream_abort(exec->line.stream);
    give_up(exec);
    return;
  }
  line_send(&exec->line);
  struct stream *stream = exec->line.stream;
  if (stream && stream->in_eof && *exec->id) {
    /* The end of input is a frame: a stream that ends has lost its host. */
    stream_abort(stream);
    detach(exec);
    return;
  }
  if (exec->child || !stream || exec->line.sent < exec->line.end) return;
  stream_finish(stream);
  if (*exec->id) detach(exec);
  else free_exec(exec);
}

static void pump_stream(struct stream *stream) {
  pump_exec(stream->state);
}

static void watch_stream(struct stream *stream) {
  process_watch(stream->state);
}

static const struct service exec_service = {.pump = pump_stream, .watch = watch_stream, .drop = drop_exec};

void execs_pump(void) {
  for (struct exec *exec = sessions, *next; exec; exec = next) {
    next = exec->next;
    if (exec->line.stream) continue;
    if (now_ms() >= exec->until_ms) give_up(exec);
    else pump_exec(exec);
  }
}

void execs_watch(void) {
  for (struct exec *exec = sessions; exec; exec = exec->next) {
    if (exec->line.stream) continue;
    if (exec->child) process_watch(exec);
    loop_until(exec->until_ms);
  }
}

void exec_hang_up(const char *id) {
  struct exec *exec = find(id);
  if (!exec) return;
  if (exec->line.stream) stream_abort(exec->line.stream);
  give_up(exec);
}

/* Keeps the number of commands bounded: one that is over and that nobody has asked for goes first. */
static int make_place(void) {
  int count = 0;
  struct exec *oldest = NULL;
  for (struct exec *exec = sessions; exec; exec = exec->next, count++)
    if (!exec->child && !exec->line.stream && (!oldest || exec->until_ms < oldest->until_ms)) oldest = exec;
  if (count < SESSIONS_MAX) return 0;
  errno = EAGAIN;
  if (!oldest) return -1;
  free_exec(oldest);
  return 0;
}

static struct exec *start(const struct spawn_request *request, const struct exec_session *session) {
  if (session->id && make_place() < 0) return NULL;
  struct exec *exec = calloc(1, sizeof *exec);
  if (!exec) return NULL;
  exec->failure.fd = exec->in.fd = exec->out.source.fd = exec->err.source.fd = -1;
  struct spawned spawned;
  if (line_open(&exec->line, session->id) < 0 || buffer_open(&exec->stdin_data, STDIN_WINDOW) < 0 ||
      spawn(request, &spawned) < 0) {
    free_exec(exec);
    return NULL;
  }
  exec->failure.fd = spawned.failure;
  exec->in.fd = spawned.in;
  exec->out.source.fd = spawned.out;
  exec->err.source.fd = spawned.err;
  exec->child = child_new(spawned.pid);
  if (!exec->child) {
    free_exec(exec);
    return NULL;
  }
  exec->tty = request->tty;
  exec->stdin_granted = STDIN_WINDOW;
  if (!session->id) return exec;
  strcpy(exec->id, session->id);
  exec->grace_ms = session->grace_ms;
  exec->next = sessions;
  return sessions = exec;
}

int exec_begin(struct stream *stream, const char *greeting, const struct spawn_request *request,
               const struct exec_session *session) {
  struct exec *exec = session->id ? find(session->id) : NULL;
  struct stream *before = exec ? exec->line.stream : NULL;
  if (!exec && session->received >= 0) {
    errno = ESRCH;
    return -1;
  }
  if (!exec) exec = start(request, session);
  if (!exec) return -1;
  if (line_attach(&exec->line, stream, greeting, session->received < 0 ? 0 : session->received) < 0) {
    errno = ERANGE;
    return -1;
  }
  if (before) stream_abort(before);
  stream->state = exec;
  stream->service = &exec_service;
  return 0;
}

/* POST /exec: a process whose input, output and end travel as frames over the upgraded stream. */
#define _GNU_SOURCE
#include "exec.h"

#include "bytes.h"
#include "json.h"
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { STDIN, STDIN_EOF, RESIZE, SIGNAL };
enum { STDOUT = 16, STDERR, EXIT, ERROR, STDIN_CREDIT };

#define FRAME_HEADER 8
#define PAYLOAD_MAX 16384
/* A frame of output fits a frame of the mux. */
#define OUTPUT_MAX (PAYLOAD_MAX - FRAME_HEADER)
/* Output is read only with so much room, else the last bytes of credit would travel one by one. */
#define OUTPUT_ROOM_MIN 2048
/* Room that output leaves to the frames that say how it ended. */
#define END_ROOM 512
/* Input that the host may send ahead of credit: kept apart from the stream, so that signals never wait behind it. */
#define STDIN_WINDOW 65536
#define STDIN_GRANT_MIN 16384
/* How long a background process that holds the output open may delay the exit status. */
#define LINGER_MS 250

struct output {
  struct source source;
  int owed; /* bytes in the pipe when the process ended */
};

struct exec {
  struct child *child;
  bool tty, started, stdin_eof, ended;
  struct source failure, in;
  struct output out, err;
  struct buffer stdin_data;
  uint32_t stdin_granted; /* bytes of input that the host may still send */
  int64_t linger_until_ms;
};

static void put_frame(struct stream *stream, int type, const void *payload, size_t length) {
  unsigned char header[FRAME_HEADER] = {type};
  put32(header + 4, length);
  buffer_put(&stream->out, header, sizeof header);
  buffer_put(&stream->out, payload, length);
}

static void free_exec(struct exec *exec) {
  source_close(&exec->failure);
  source_close(&exec->in);
  source_close(&exec->out.source);
  source_close(&exec->err.source);
  buffer_close(&exec->stdin_data);
  free(exec);
}

static void drop_exec(struct stream *stream) {
  struct exec *exec = stream->state;
  child_condemn(exec->child);
  free_exec(exec);
}

/* The host does not speak the protocol. */
static void break_off(struct stream *stream) {
  drop_exec(stream);
  stream_abort(stream);
}

static void finish(struct stream *stream) {
  struct exec *exec = stream->state;
  child_release(exec->child);
  free_exec(exec);
  stream_finish(stream);
}

static void report_failure(struct stream *stream, const struct spawn_failure *failure) {
  static const char *const messages[] = {
      [SPAWN_NO_USER] = "there is no such user",
      [SPAWN_BAD_CWD] = "cannot be entered",
      [SPAWN_NO_TTY] = "no terminal can be had",
      [SPAWN_NO_PROGRAM] = "the program cannot be run",
  };
  const char *code = "cannot_start";
  int error = failure->error;
  if (failure->stage == SPAWN_NO_USER) code = "no_such_user";
  if (failure->stage == SPAWN_BAD_CWD) code = "bad_cwd";
  if (failure->stage == SPAWN_NO_TTY) code = "no_tty";
  if (failure->stage == SPAWN_NO_PROGRAM) {
    if (error == ENOENT || error == ENOTDIR) code = "not_found";
    if (error == EACCES || error == ENOEXEC || error == EISDIR || error == ETXTBSY || error == ELIBBAD || error == EPERM)
      code = "not_executable";
    if (error == E2BIG) code = "arguments_too_long";
  }
  char message[1536], quoted[3072], body[4096];
  snprintf(message, sizeof message, "%s%s%s: %s", failure->directory, *failure->directory ? " " : "",
           messages[failure->stage], error ? strerror(error) : "unknown");
  json_quote(quoted, sizeof quoted, message);
  int length = snprintf(body, sizeof body, "{\"code\":\"%s\",\"message\":%s}", code, quoted);
  put_frame(stream, ERROR, body, length);
  finish(stream);
}

/* Until the program runs no frame is taken: a signal would hit a process that is not yet in its own session. */
static void await_start(struct stream *stream) {
  struct exec *exec = stream->state;
  struct spawn_failure failure;
  if (!exec->failure.ready) return;
  ssize_t got = read(exec->failure.fd, &failure, sizeof failure);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  source_close(&exec->failure);
  exec->started = true;
  if (got == sizeof failure) report_failure(stream, &failure);
}

/* One whole frame that is not STDIN. Returns 0, or -1 when it is none. */
static int take_command(struct exec *exec, int type, const unsigned char *payload, uint32_t length) {
  if (type == STDIN_EOF && length == 0) {
    exec->stdin_eof = true;
    return 0;
  }
  if (type == RESIZE && length == 4) {
    struct winsize size = {.ws_col = get16(payload), .ws_row = get16(payload + 2)};
    if (exec->tty) ioctl(exec->out.source.fd, TIOCSWINSZ, &size);
    return 0;
  }
  if (type == SIGNAL && length == 1 && payload[0] >= 1 && payload[0] <= SIGRTMAX) {
    child_signal(exec->child, payload[0]);
    return 0;
  }
  return -1;
}

/* Takes what the host sent. Returns 0, or -1 when it does not speak the protocol. */
static int take_frames(struct stream *stream, struct exec *exec) {
  while (buffer_length(&stream->in) >= FRAME_HEADER) {
    const unsigned char *head = (const unsigned char *)buffer_head(&stream->in);
    uint32_t length = get32(head + 4);
    if (length > PAYLOAD_MAX || (head[0] == STDIN && length > exec->stdin_granted)) return -1;
    if (buffer_length(&stream->in) < FRAME_HEADER + length) break;
    if (head[0] != STDIN && take_command(exec, head[0], head + FRAME_HEADER, length) < 0) return -1;
    if (head[0] == STDIN) {
      if (exec->stdin_eof) return -1;
      exec->stdin_granted -= length;
      buffer_put(&exec->stdin_data, head + FRAME_HEADER, length);
    }
    buffer_take(&stream->in, FRAME_HEADER + length);
  }
  if (stream->in_eof) exec->stdin_eof = true;
  return 0;
}

static void feed_stdin(struct stream *stream, struct exec *exec) {
  struct buffer *data = &exec->stdin_data;
  while (exec->in.fd >= 0 && buffer_length(data)) {
    ssize_t sent = write(exec->in.fd, buffer_head(data), buffer_length(data));
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) source_close(&exec->in);
    else buffer_take(data, sent);
  }
  /* A process that closed its input is as good as one that read it all. */
  if (exec->in.fd < 0) buffer_take(data, buffer_length(data));
  if (exec->stdin_eof && exec->in.fd >= 0 && buffer_length(data) == 0) {
    /* A terminal has no end of its own. The first end-of-file character may only complete an unfinished line. */
    if (exec->tty && write(exec->in.fd, "\4\4", 2) < 0 && errno == EAGAIN) return;
    source_close(&exec->in);
  }
  uint32_t grant = STDIN_WINDOW - exec->stdin_granted - (uint32_t)buffer_length(data);
  if (grant >= STDIN_GRANT_MIN && !exec->stdin_eof && buffer_room(&stream->out) >= END_ROOM) {
    unsigned char bytes[4];
    put32(bytes, grant);
    put_frame(stream, STDIN_CREDIT, bytes, sizeof bytes);
    exec->stdin_granted += grant;
  }
}

/* Reads one frame's worth; tells whether there may be more. */
static bool read_output(struct stream *stream, struct output *output, int type) {
  size_t room = buffer_room(&stream->out);
  if (!output->source.ready || room < OUTPUT_ROOM_MIN + FRAME_HEADER + END_ROOM) return false;
  room -= FRAME_HEADER + END_ROOM;
  char *frame = buffer_tail(&stream->out);
  ssize_t got = read(output->source.fd, frame + FRAME_HEADER, room < OUTPUT_MAX ? room : OUTPUT_MAX);
  if (got < 0 && errno == EINTR) return true;
  if (got > 0) {
    memset(frame, 0, FRAME_HEADER);
    frame[0] = type;
    put32((unsigned char *)frame + 4, got);
    buffer_added(&stream->out, FRAME_HEADER + got);
    output->owed -= got;
    return true;
  }
  output->source.ready = 0;
  /* A terminal whose other side is closed fails with EIO. */
  if (got == 0 || errno != EAGAIN) source_close(&output->source);
  return false;
}

/* Whether everything was read that the process itself can have written. */
static bool drained(const struct exec *exec, const struct output *output) {
  if (output->source.fd < 0) return true;
  return exec->ended && output->owed <= 0 && now_ms() >= exec->linger_until_ms;
}

static void report_exit(struct stream *stream, const struct child *child) {
  static const char *const names[] = {
      "",       "HUP",    "INT",  "QUIT",  "ILL",  "TRAP", "ABRT", "BUS",  "FPE",  "KILL", "USR1",
      "SEGV",   "USR2",   "PIPE", "ALRM",  "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN",
      "TTOU",   "URG",    "XCPU", "XFSZ",  "VTALRM", "PROF", "WINCH", "IO",   "PWR",  "SYS",
  };
  char body[64];
  int length;
  if (!child->signal)
    length = snprintf(body, sizeof body, "{\"code\":%d}", child->code);
  else if ((size_t)child->signal < sizeof names / sizeof *names)
    length = snprintf(body, sizeof body, "{\"signal\":\"SIG%s\",\"number\":%d}", names[child->signal], child->signal);
  else
    length = snprintf(body, sizeof body, "{\"signal\":\"SIG%d\",\"number\":%d}", child->signal, child->signal);
  put_frame(stream, EXIT, body, length);
}

static void note_end(struct exec *exec) {
  exec->ended = true;
  exec->linger_until_ms = now_ms() + LINGER_MS;
  if (ioctl(exec->out.source.fd, FIONREAD, &exec->out.owed) < 0) exec->out.owed = 0;
  if (ioctl(exec->err.source.fd, FIONREAD, &exec->err.owed) < 0) exec->err.owed = 0;
}

static void pump_exec(struct stream *stream) {
  struct exec *exec = stream->state;
  if (!exec->started) {
    await_start(stream);
    if (stream->state != exec || !exec->started) return;
  }
  if (take_frames(stream, exec) < 0) {
    break_off(stream);
    return;
  }
  feed_stdin(stream, exec);
  if (exec->child->exited && !exec->ended) note_end(exec);
  for (bool more = true; more;) {
    more = read_output(stream, &exec->out, STDOUT);
    more = read_output(stream, &exec->err, STDERR) || more;
  }
  if (!exec->ended || !drained(exec, &exec->out) || !drained(exec, &exec->err)) return;
  if (buffer_room(&stream->out) < END_ROOM) return;
  report_exit(stream, exec->child);
  finish(stream);
}

static void watch_exec(struct stream *stream) {
  struct exec *exec = stream->state;
  if (!exec->started) {
    loop_want(&exec->failure, POLLIN);
    return;
  }
  if (buffer_length(&exec->stdin_data) || (exec->stdin_eof && exec->in.fd >= 0)) loop_want(&exec->in, POLLOUT);
  if (buffer_room(&stream->out) >= OUTPUT_ROOM_MIN + FRAME_HEADER + END_ROOM) {
    loop_want(&exec->out.source, POLLIN);
    loop_want(&exec->err.source, POLLIN);
  }
  if (exec->ended && now_ms() < exec->linger_until_ms) loop_until(exec->linger_until_ms);
}

static const struct service exec_service = {.pump = pump_exec, .watch = watch_exec, .drop = drop_exec};

int exec_begin(struct stream *stream, const struct spawn_request *request) {
  struct exec *exec = calloc(1, sizeof *exec);
  if (!exec) return -1;
  exec->failure.fd = exec->in.fd = exec->out.source.fd = exec->err.source.fd = -1;
  struct spawned spawned;
  if (buffer_open(&exec->stdin_data, STDIN_WINDOW) < 0 || spawn(request, &spawned) < 0) {
    free_exec(exec);
    return -1;
  }
  exec->failure.fd = spawned.failure;
  exec->in.fd = spawned.in;
  exec->out.source.fd = spawned.out;
  exec->err.source.fd = spawned.err;
  exec->child = child_new(spawned.pid);
  if (!exec->child) {
    free_exec(exec);
    return -1;
  }
  exec->tty = request->tty;
  exec->stdin_granted = STDIN_WINDOW;
  stream->state = exec;
  stream->service = &exec_service;
  return 0;
}

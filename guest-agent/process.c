/* The process of POST /exec: its input, output and end as frames of a line. */
#define _GNU_SOURCE
#include "process.h"

#include "bytes.h"
#include "exec_report.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A frame of output fits a frame of the mux. */
#define OUTPUT_MAX (PAYLOAD_MAX - FRAME_HEADER)
/* Output is read only with so much room, else the last bytes of credit would travel one by one. */
#define OUTPUT_ROOM_MIN 2048
/* Room that output leaves to the frames that say how it ended. */
#define END_ROOM 512
#define STDIN_GRANT_MIN 16384
/* How long a background process that holds the output open may delay the exit status. */
#define LINGER_MS 250

void process_close(struct exec *exec) {
  source_close(&exec->failure);
  source_close(&exec->in);
  source_close(&exec->out.source);
  source_close(&exec->err.source);
}

/* Nothing follows on what is in the line. */
static void end(struct exec *exec) {
  child_release(exec->child);
  exec->child = NULL;
  process_close(exec);
}

/* Until the program runs no frame is taken: a signal would hit a process that is not yet in its own session. */
static void await_start(struct exec *exec) {
  struct spawn_failure failure;
  char body[REPORT_MAX];
  if (!exec->failure.ready) return;
  ssize_t got = read(exec->failure.fd, &failure, sizeof failure);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  source_close(&exec->failure);
  exec->started = true;
  if (got != sizeof failure) return;
  line_put(&exec->line, ERROR, body, report_failure(body, &failure));
  end(exec);
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
  if (type == ACK && length == 8) return line_acknowledge(&exec->line, get64(payload));
  return -1;
}

/* Takes what the host sent. Returns 0, or -1 when it does not speak the protocol. */
static int take_frames(struct exec *exec) {
  struct stream *stream = exec->line.stream;
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
    line_took(&exec->line, FRAME_HEADER + length);
  }
  if (stream->in_eof && !*exec->id) exec->stdin_eof = true;
  return 0;
}

static void feed_stdin(struct exec *exec) {
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
  if (grant >= STDIN_GRANT_MIN && !exec->stdin_eof && line_room(&exec->line) >= END_ROOM) {
    unsigned char bytes[4];
    put32(bytes, grant);
    line_put(&exec->line, STDIN_CREDIT, bytes, sizeof bytes);
    exec->stdin_granted += grant;
  }
}

/* Reads one frame's worth; tells whether there may be more. */
static bool read_output(struct exec *exec, struct output *output, int type) {
  static char bytes[OUTPUT_MAX];
  size_t room = line_room(&exec->line);
  if (!output->source.ready || room < OUTPUT_ROOM_MIN + FRAME_HEADER + END_ROOM) return false;
  room -= FRAME_HEADER + END_ROOM;
  ssize_t got = read(output->source.fd, bytes, room < OUTPUT_MAX ? room : OUTPUT_MAX);
  if (got < 0 && errno == EINTR) return true;
  if (got > 0) {
    line_put(&exec->line, type, bytes, got);
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

static void note_end(struct exec *exec) {
  exec->ended = true;
  exec->linger_until_ms = now_ms() + LINGER_MS;
  if (ioctl(exec->out.source.fd, FIONREAD, &exec->out.owed) < 0) exec->out.owed = 0;
  if (ioctl(exec->err.source.fd, FIONREAD, &exec->err.owed) < 0) exec->err.owed = 0;
}

int process_work(struct exec *exec) {
  char body[REPORT_MAX];
  if (!exec->started) await_start(exec);
  if (!exec->started || !exec->child) return 0;
  if (exec->line.stream && take_frames(exec) < 0) return -1;
  feed_stdin(exec);
  if (exec->child->exited && !exec->ended) note_end(exec);
  for (bool more = true; more;) {
    more = read_output(exec, &exec->out, STDOUT);
    more = read_output(exec, &exec->err, STDERR) || more;
    line_send(&exec->line);
  }
  if (!exec->ended || !drained(exec, &exec->out) || !drained(exec, &exec->err)) return 0;
  if (line_room(&exec->line) < END_ROOM) return 0;
  line_put(&exec->line, EXIT, body, report_exit(body, exec->child));
  end(exec);
  return 0;
}

void process_watch(struct exec *exec) {
  if (!exec->started) {
    loop_want(&exec->failure, POLLIN);
    return;
  }
  if (buffer_length(&exec->stdin_data) || (exec->stdin_eof && exec->in.fd >= 0)) loop_want(&exec->in, POLLOUT);
  if (line_room(&exec->line) >= OUTPUT_ROOM_MIN + FRAME_HEADER + END_ROOM) {
    loop_want(&exec->out.source, POLLIN);
    loop_want(&exec->err.source, POLLIN);
  }
  if (exec->ended && now_ms() < exec->linger_until_ms) loop_until(exec->linger_until_ms);
}

/* The guest's side of the mux: frames on one link, a stream per channel, credit in both directions. */
#define _GNU_SOURCE
#include "mux.h"

#include "bytes.h"
#include "loop.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { HELLO = 1, HELLO_ACK, OPEN, DATA, WINDOW, END, RESET };

#define HEADER 8
#define PAYLOAD_MAX 16384
#define NONCE 16
#define LINK_BUFFER 65536
/* Room in `out` that DATA leaves to the frames without which no channel gets on. */
#define CONTROL_RESERVE 4096
/* Out of step, so many zero bytes in a row are the NOPs of a host that starts anew. */
#define RESYNC_ZEROS 8192
#define GRANT_MIN (STREAM_WINDOW / 2)

struct channel {
  uint32_t id; /* 0: free */
  struct stream stream;
  uint32_t may_send; /* bytes that the host takes */
  uint32_t granted;  /* bytes that the host may still send */
  bool end_sent;
};

static struct source link_source = {.fd = -1};
/*
 * A port without a host is always "hung up", which poll(2) cannot be told to leave out. An edge-triggered epoll
 * around it wakes only when something changed, the host's coming included.
 */
static struct source link_edges = {.fd = -1};
static struct buffer in, out;
static struct channel channels[STREAM_MAX];
static unsigned first_to_send;
static bool out_of_step;
static size_t zeros_seen;
static bool stalled; /* frames wait in `in` for room in `out` */

static void put_frame(int type, uint32_t id, const void *payload, size_t length) {
  unsigned char header[HEADER] = {type};
  put16(header + 2, length);
  put32(header + 4, id);
  buffer_put(&out, header, HEADER);
  if (length) buffer_put(&out, payload, length);
}

static struct channel *find(uint32_t id) {
  for (int i = 0; i < STREAM_MAX; i++)
    if (channels[i].id == id) return &channels[i];
  return NULL;
}

static void close_channel(struct channel *channel) {
  stream_close(&channel->stream);
  channel->id = 0;
}

static void drop_channels(void) {
  for (int i = 0; i < STREAM_MAX; i++)
    if (channels[i].id) close_channel(&channels[i]);
}

int mux_open(int fd) {
  if (!in.data && (buffer_open(&in, LINK_BUFFER) < 0 || buffer_open(&out, LINK_BUFFER) < 0)) return -1;
  int edges = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
  if (edges < 0 || epoll_ctl(edges, EPOLL_CTL_ADD, fd, &event) < 0) {
    if (edges >= 0) close(edges);
    return -1;
  }
  link_source = (struct source){.fd = fd, .ready = POLLIN};
  link_edges = (struct source){.fd = edges};
  return 0;
}

int mux_fd(void) {
  return link_source.fd;
}

void mux_close(void) {
  drop_channels();
  source_close(&link_edges);
  source_close(&link_source);
  if (out.data) buffer_take(&out, buffer_length(&out));
}

/* The other side does not speak the protocol, or bytes were lost: only a new HELLO fixes that. */
static void lose_step(void) {
  drop_channels();
  buffer_take(&out, buffer_length(&out));
  put_frame(RESET, 0, NULL, 0);
  out_of_step = true;
  zeros_seen = 0;
}

static void open_channel(uint32_t id) {
  struct channel *channel = find(0);
  if (id == 0 || find(id)) {
    lose_step();
    return;
  }
  if (!channel || stream_open(&channel->stream) < 0) {
    put_frame(RESET, id, NULL, 0);
    return;
  }
  channel->id = id;
  channel->may_send = channel->granted = STREAM_WINDOW;
  channel->end_sent = false;
}

static void take_data(struct channel *channel, const unsigned char *payload, uint32_t length) {
  if (length > channel->granted || channel->stream.in_eof) {
    put_frame(RESET, channel->id, NULL, 0);
    close_channel(channel);
    return;
  }
  channel->granted -= length;
  buffer_put(&channel->stream.in, payload, length);
}

static void take_frame(int type, uint32_t id, const unsigned char *payload, uint32_t length) {
  struct channel *channel = id ? find(id) : NULL;
  switch (type) {
    case HELLO:
      /* What NOPs made of half a HELLO of an earlier host has another length or is followed by the real one. */
      if (length != NONCE) return;
      drop_channels();
      buffer_take(&out, buffer_length(&out));
      put_frame(HELLO_ACK, 0, payload, NONCE);
      return;
    case OPEN: open_channel(id); return;
    /* A frame for a channel that is gone was on its way when it went. */
    case DATA:
      if (channel) take_data(channel, payload, length);
      return;
    case WINDOW:
      if (!channel || length != 4) return;
      if (get32(payload) > STREAM_WINDOW - channel->may_send) {
        put_frame(RESET, id, NULL, 0);
        close_channel(channel);
      } else {
        channel->may_send += get32(payload);
      }
      return;
    case END:
      if (channel) channel->stream.in_eof = true;
      return;
    case RESET:
      if (channel) close_channel(channel);
      return;
    default: lose_step();
  }
}

/* Leaves out NOPs, and all else while out of step. */
static void skip(void) {
  const char *at = buffer_head(&in);
  size_t length = buffer_length(&in), skipped = 0;
  for (; skipped < length; skipped++) {
    if (at[skipped] == 0) {
      zeros_seen++;
      continue;
    }
    if (zeros_seen >= RESYNC_ZEROS) out_of_step = false;
    if (!out_of_step) break;
    zeros_seen = 0;
  }
  buffer_take(&in, skipped);
}

static void take_frames(void) {
  for (;;) {
    /* Most frames can cause an answer; without room for it they wait. */
    stalled = buffer_room(&out) < CONTROL_RESERVE;
    if (stalled) return;
    skip();
    const unsigned char *head = (const unsigned char *)buffer_head(&in);
    if (buffer_length(&in) < HEADER) return;
    uint32_t length = get16(head + 2);
    if (length > PAYLOAD_MAX) {
      buffer_take(&in, 1);
      lose_step();
      continue;
    }
    if (buffer_length(&in) < HEADER + length) return;
    take_frame(head[0], get32(head + 4), head + HEADER, length);
    buffer_take(&in, HEADER + length);
  }
}

void mux_read(int closes) {
  if (link_source.fd < 0) return;
  if (link_edges.ready) {
    struct epoll_event event;
    if (epoll_wait(link_edges.fd, &event, 1, 0) == 1) link_source.ready |= POLLIN;
  }
  while (link_source.ready) {
    take_frames();
    size_t room = buffer_room(&in);
    if (room == 0) return;
    ssize_t got = read(link_source.fd, buffer_tail(&in), room);
    if (got > 0) {
      buffer_added(&in, got);
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    link_source.ready = 0;
    if (got < 0 && errno == EAGAIN) break;
    if (got < 0 || closes)
      mux_close();
    else
      drop_channels();
    return;
  }
  take_frames();
}

void mux_pump(void) {
  for (int i = 0; i < STREAM_MAX; i++)
    if (channels[i].id) channels[i].stream.service->pump(&channels[i].stream);
}

/* What is not data: the credit for input that was consumed, and the stream's end. */
static void send_control(struct channel *channel) {
  struct stream *stream = &channel->stream;
  if (buffer_room(&out) < CONTROL_RESERVE / 2) return;
  uint32_t grant = STREAM_WINDOW - channel->granted - (uint32_t)buffer_length(&stream->in);
  if (grant >= GRANT_MIN && !stream->in_eof) {
    unsigned char bytes[4];
    put32(bytes, grant);
    put_frame(WINDOW, channel->id, bytes, sizeof bytes);
    channel->granted += grant;
  }
  if (stream->aborted) {
    put_frame(RESET, channel->id, NULL, 0);
    close_channel(channel);
    return;
  }
  if (stream->finished && buffer_length(&stream->out) == 0 && !channel->end_sent) {
    put_frame(END, channel->id, NULL, 0);
    channel->end_sent = true;
  }
  if (channel->end_sent && stream->in_eof) close_channel(channel);
}

/* Puts one DATA frame into `out`; tells whether it did. */
static bool send_data(struct channel *channel) {
  struct buffer *data = &channel->stream.out;
  size_t length = buffer_length(data);
  if (length > channel->may_send) length = channel->may_send;
  if (length > PAYLOAD_MAX) length = PAYLOAD_MAX;
  if (length == 0 || buffer_room(&out) < HEADER + length + CONTROL_RESERVE) return false;
  put_frame(DATA, channel->id, buffer_head(data), length);
  buffer_take(data, length);
  channel->may_send -= length;
  return true;
}

static void flush(void) {
  while (link_source.fd >= 0 && buffer_length(&out) > 0) {
    ssize_t sent = write(link_source.fd, buffer_head(&out), buffer_length(&out));
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) {
      if (sent < 0 && errno != EAGAIN) mux_close();
      return;
    }
    buffer_take(&out, sent);
  }
}

int mux_write(void) {
  int moved = 0;
  flush();
  for (unsigned i = 0; i < STREAM_MAX; i++) {
    struct channel *channel = &channels[(first_to_send + i) % STREAM_MAX];
    if (channel->id && send_data(channel)) moved = 1;
    if (channel->id) send_control(channel);
  }
  first_to_send = (first_to_send + 1) % STREAM_MAX;
  flush();
  return moved;
}

void mux_watch(void) {
  if (link_source.fd < 0) return;
  loop_want(&link_edges, POLLIN);
  /* What was left in the link or in `in` for want of room has no edge any more. */
  if ((link_source.ready || stalled) && buffer_room(&out) >= CONTROL_RESERVE) loop_until(0);
  for (int i = 0; i < STREAM_MAX; i++)
    if (channels[i].id && channels[i].stream.service->watch) channels[i].stream.service->watch(&channels[i].stream);
}

/* A byte stream in both directions with bounded buffers, and what serves it; the carriers are in mux.c and socket.c. */
#ifndef BANGER_STREAM_H
#define BANGER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_MAX 64          /* streams of one carrier */
#define STREAM_WINDOW 65536    /* bytes that a peer may send ahead */
#define STREAM_OUT_SIZE 32768  /* bytes that wait here for the carrier */

/* A fixed amount of memory that bytes are put into at its tail and taken from at its head. */
struct buffer {
  char *data;
  size_t start, end, size;
};

/* Returns 0, or -1 when memory is out. */
int buffer_open(struct buffer *buffer, size_t size);
void buffer_close(struct buffer *buffer);
size_t buffer_length(const struct buffer *buffer);
size_t buffer_room(const struct buffer *buffer);
char *buffer_head(const struct buffer *buffer);
/* Where buffer_room() bytes may be written, to be followed by buffer_added(). */
char *buffer_tail(struct buffer *buffer);
void buffer_added(struct buffer *buffer, size_t length);
void buffer_take(struct buffer *buffer, size_t length);
/* The caller has made sure that there is room. */
void buffer_put(struct buffer *buffer, const void *data, size_t length);

struct stream;

struct service {
  /* Does everything that buffers and ready descriptors allow. */
  void (*pump)(struct stream *stream);
  /* Names the descriptors and deadlines that the service waits for. May be NULL. */
  void (*watch)(struct stream *stream);
  /* The stream is gone before the service was done: frees its state. May be NULL. */
  void (*drop)(struct stream *stream);
};

struct stream {
  struct buffer in, out;
  bool in_eof;   /* the peer sends no more */
  bool finished; /* the service puts no more into `out`: the carrier ends the stream when it is empty */
  bool aborted;  /* the carrier breaks the stream off */
  const struct service *service;
  void *state; /* the service's own */
};

/* A new stream, served as HTTP. Returns 0, or -1 when memory is out. */
int stream_open(struct stream *stream);
/* Frees everything, after telling the service unless it was done. */
void stream_close(struct stream *stream);
/* The service is done and has freed its state; what is in `out` is still sent. */
void stream_finish(struct stream *stream);
/* As stream_finish, but the peer is told that the stream is broken. */
void stream_abort(struct stream *stream);

#endif

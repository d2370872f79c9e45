/* Streams and their bounded buffers, whatever carries them. */
#include "stream.h"

#include "http.h"

#include <stdlib.h>
#include <string.h>

int buffer_open(struct buffer *buffer, size_t size) {
  *buffer = (struct buffer){.data = malloc(size), .size = size};
  return buffer->data ? 0 : -1;
}

void buffer_close(struct buffer *buffer) {
  free(buffer->data);
  *buffer = (struct buffer){0};
}

size_t buffer_length(const struct buffer *buffer) {
  return buffer->end - buffer->start;
}

size_t buffer_room(const struct buffer *buffer) {
  return buffer->size - buffer_length(buffer);
}

char *buffer_head(const struct buffer *buffer) {
  return buffer->data + buffer->start;
}

char *buffer_tail(struct buffer *buffer) {
  if (buffer->start) memmove(buffer->data, buffer_head(buffer), buffer_length(buffer));
  buffer->end -= buffer->start;
  buffer->start = 0;
  return buffer->data + buffer->end;
}

void buffer_added(struct buffer *buffer, size_t length) {
  buffer->end += length;
}

void buffer_take(struct buffer *buffer, size_t length) {
  buffer->start += length;
  if (buffer->start == buffer->end) buffer->start = buffer->end = 0;
}

void buffer_put(struct buffer *buffer, const void *data, size_t length) {
  memcpy(buffer_tail(buffer), data, length);
  buffer_added(buffer, length);
}

/* What a peer still sends to a service that is done is taken, so that it can come to its own end. */
static void discard_input(struct stream *stream) {
  buffer_take(&stream->in, buffer_length(&stream->in));
}

static const struct service done = {.pump = discard_input};

int stream_open(struct stream *stream) {
  *stream = (struct stream){.service = &http_service};
  if (buffer_open(&stream->in, STREAM_WINDOW) == 0 && buffer_open(&stream->out, STREAM_OUT_SIZE) == 0) return 0;
  buffer_close(&stream->in);
  return -1;
}

void stream_close(struct stream *stream) {
  if (stream->service->drop) stream->service->drop(stream);
  buffer_close(&stream->in);
  buffer_close(&stream->out);
}

void stream_finish(struct stream *stream) {
  stream->service = &done;
  stream->state = NULL;
  stream->finished = true;
}

void stream_abort(struct stream *stream) {
  stream_finish(stream);
  stream->aborted = true;
}

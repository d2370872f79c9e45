/* Frames with memory: a ring of what the host may not have yet, and how far either side has come. */
#include "line.h"

#include "bytes.h"

#include <stdlib.h>
#include <string.h>

/* What a command may write while its host is away, or does not read. */
#define KEPT_SIZE 262144
#define PASSED_SIZE 32768
/* How far the host may be behind in what it knows of its own frames: with the input's credit it bounds what it keeps. */
#define TELL_EVERY 16384

int line_open(struct line *line, bool keeps) {
  size_t size = keeps ? KEPT_SIZE : PASSED_SIZE;
  *line = (struct line){.keeps = keeps, .size = size, .ring = malloc(size)};
  return line->ring ? 0 : -1;
}

void line_close(struct line *line) {
  free(line->ring);
  line->ring = NULL;
}

size_t line_room(const struct line *line) {
  return line->size - (size_t)(line->end - line->kept);
}

static void put_bytes(struct line *line, const void *bytes, size_t length) {
  size_t at = line->end % line->size, first = line->size - at;
  if (first > length) first = length;
  memcpy(line->ring + at, bytes, first);
  memcpy(line->ring, (const char *)bytes + first, length - first);
  line->end += length;
}

void line_put(struct line *line, int type, const void *payload, size_t length) {
  unsigned char header[FRAME_HEADER] = {type};
  put32(header + 4, length);
  put_bytes(line, header, sizeof header);
  put_bytes(line, payload, length);
}

int line_attach(struct line *line, struct stream *stream, const char *greeting, uint64_t received) {
  if (received < line->kept || received > line->end) return -1;
  line->kept = line->sent = received;
  line->stream = stream;
  buffer_put(&stream->out, greeting, strlen(greeting));
  if (!line->keeps) return 0;
  /* Each stream begins with one, which is not counted. */
  unsigned char frame[FRAME_HEADER + 8] = {ATTACHED};
  put32(frame + 4, 8);
  put64(frame + FRAME_HEADER, line->taken);
  buffer_put(&stream->out, frame, sizeof frame);
  return 0;
}

void line_took(struct line *line, size_t length) {
  line->taken += length;
  if (!line->keeps || line->taken - line->taken_told < TELL_EVERY || line_room(line) < FRAME_HEADER + 8) return;
  unsigned char bytes[8];
  put64(bytes, line->taken);
  line_put(line, TAKEN, bytes, sizeof bytes);
  line->taken_told = line->taken;
}

int line_acknowledge(struct line *line, uint64_t received) {
  if (!line->keeps || received > line->sent) return -1;
  /* What was said before the stream broke is said again behind what its successor began with. */
  if (received > line->kept) line->kept = received;
  return 0;
}

void line_send(struct line *line) {
  while (line->stream && line->sent < line->end) {
    size_t at = line->sent % line->size, length = line->size - at, room = buffer_room(&line->stream->out);
    if (length > line->end - line->sent) length = line->end - line->sent;
    if (length > room) length = room;
    if (length == 0) return;
    buffer_put(&line->stream->out, line->ring + at, length);
    line->sent += length;
    if (!line->keeps) line->kept = line->sent;
  }
}

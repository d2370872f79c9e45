/*
 * The frames of one command, to the host and from it, across streams that break. Both directions are counted in bytes
 * from the command's beginning. What the host is sent stays in a ring until the host says that it has it.
 */
#ifndef BANGER_LINE_H
#define BANGER_LINE_H

#include "stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER 8
#define PAYLOAD_MAX 16384

/* To the guest. */
enum { STDIN, STDIN_EOF, RESIZE, SIGNAL, ACK };
/* To the host. */
enum { STDOUT = 16, STDERR, EXIT, ERROR, STDIN_CREDIT, ATTACHED, TAKEN };

struct line {
  struct stream *stream; /* NULL while nobody is there */
  bool keeps;            /* else what was handed to the stream is forgotten */
  char *ring;
  size_t size;
  uint64_t kept;       /* the host has everything before this */
  uint64_t sent;       /* the present stream was given everything before this */
  uint64_t end;        /* everything there is */
  uint64_t taken;      /* of what the host sent */
  uint64_t taken_told; /* as of the last TAKEN */
};

/* Returns 0, or -1 when memory is out. */
int line_open(struct line *line, bool keeps);
void line_close(struct line *line);

/* Bytes that can be put. */
size_t line_room(const struct line *line);
/* The caller has made sure that there is room. */
void line_put(struct line *line, int type, const void *payload, size_t length);

/* Goes on over `stream`, behind `greeting`, for a host that has `received` bytes. Returns 0, or -1 when that cannot be. */
int line_attach(struct line *line, struct stream *stream, const char *greeting, uint64_t received);
/* Bytes of the host's frames were taken. */
void line_took(struct line *line, size_t length);
/* The host has `received` bytes. Returns 0, or -1 when it was never sent so many. */
int line_acknowledge(struct line *line, uint64_t received);
/* Gives the stream what it has room for. */
void line_send(struct line *line);

#endif

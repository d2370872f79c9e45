/* One HTTP/1.1 exchange per stream: the request's head, the routes and the replies. */
#ifndef BANGER_HTTP_H
#define BANGER_HTTP_H

#include "stream.h"

#include <stdbool.h>
#include <stddef.h>

#define PATH_LENGTH_MAX 4096

/* What a new stream is served by until its request's head was read. */
extern const struct service http_service;

/* Set where the agent runs in a guest, and so may end the machine. */
extern bool http_in_guest;

struct request {
  char method[8];
  char path[64];
  char query[PATH_LENGTH_MAX * 3];
  size_t content_length;
  bool upgrades_to_exec, upgrades_to_session, upgrades_to_tcp;
};

/* Copies the decoded value of the query's `key`; false when it is absent, too long or badly encoded. */
bool http_query(const struct request *request, const char *key, char *value, size_t size);

/* The whole reply: less than a stream's `out` takes. The stream is finished. */
void http_reply(struct stream *stream, const char *status, const char *json);

/* As http_reply, with an error body. `status` begins with the code. */
void http_fail(struct stream *stream, const char *status, const char *code, const char *message);

/* Puts the head of a reply whose body is sent in chunks. */
void http_begin_chunks(struct stream *stream, const char *content_type);

/* The services behind the routes take the stream over at the request's body. */
void health_start(struct stream *stream, const struct request *request);
void health_set_clock(struct stream *stream, const struct request *request);
void exec_start(struct stream *stream, const struct request *request);
void exec_end(struct stream *stream, const struct request *request);
void connect_start(struct stream *stream, const struct request *request);
void ports_start(struct stream *stream, const struct request *request);
void files_get(struct stream *stream, const struct request *request);
void files_put(struct stream *stream, const struct request *request);
void power_sync(struct stream *stream, const struct request *request);
void power_shutdown(struct stream *stream, const struct request *request);

#endif

/* Reads a request's head, picks its route, writes replies. */
#define _GNU_SOURCE
#include "http.h"

#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEAD_MAX 16384

bool http_in_guest;

static const struct route {
  const char *method, *path;
  void (*start)(struct stream *, const struct request *);
} routes[] = {
    {"GET", "/healthz", health_start}, {"GET", "/ports", ports_start},  {"POST", "/exec", exec_start},
    {"GET", "/files", files_get},      {"PUT", "/files", files_put},    {"POST", "/sync", power_sync},
    {"POST", "/shutdown", power_shutdown}, {"POST", "/connect", connect_start}, {"POST", "/clock", health_set_clock},
    {"DELETE", "/exec", exec_end},
};

static void put_format(struct stream *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put_format(struct stream *stream, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  size_t room = buffer_room(&stream->out);
  int length = vsnprintf(buffer_tail(&stream->out), room, format, arguments);
  va_end(arguments);
  if (length > 0 && (size_t)length < room) buffer_added(&stream->out, length);
}

void http_reply(struct stream *stream, const char *status, const char *json) {
  put_format(stream,
             "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
             status, strlen(json), json);
  stream_finish(stream);
}

void http_fail(struct stream *stream, const char *status, const char *code, const char *message) {
  char quoted[512], body[640];
  json_quote(quoted, sizeof quoted, message);
  snprintf(body, sizeof body, "{\"code\":\"%s\",\"message\":%s}", code, quoted);
  http_reply(stream, status, body);
}

void http_begin_chunks(struct stream *stream, const char *content_type) {
  put_format(stream, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
             content_type);
}

static int hex(char digit) {
  const char *digits = "0123456789abcdef0123456789ABCDEF", *at = digit ? strchr(digits, digit) : NULL;
  return at ? (at - digits) & 15 : -1;
}

bool http_query(const struct request *request, const char *key, char *value, size_t size) {
  size_t key_length = strlen(key);
  const char *at = request->query;
  while (at && !(strncmp(at, key, key_length) == 0 && at[key_length] == '=')) {
    at = strchr(at, '&');
    if (at) at++;
  }
  if (!at) return false;
  size_t length = 0;
  for (at += key_length + 1; *at && *at != '&'; at++) {
    int byte = (unsigned char)*at;
    if (byte == '+') byte = ' ';
    if (byte == '%') {
      int high = hex(at[1]), low = high < 0 ? -1 : hex(at[2]);
      byte = low < 0 ? 0 : high << 4 | low;
      at += 2;
    }
    if (byte == 0 || length + 1 >= size) return false;
    value[length++] = byte;
  }
  value[length] = 0;
  return true;
}

/* Takes one header line into the request; false when it cannot be served. */
static bool take_header(struct request *request, char *line, bool *chunked) {
  char *value = strchr(line, ':');
  if (!value || value == line) return false;
  *value++ = 0;
  value += strspn(value, " \t");
  if (strcasecmp(line, "content-length") == 0) {
    char *end;
    unsigned long long length = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || length > SIZE_MAX / 4) return false;
    request->content_length = length;
  } else if (strcasecmp(line, "transfer-encoding") == 0) {
    *chunked = true;
  } else if (strcasecmp(line, "upgrade") == 0) {
    request->upgrades_to_exec = strcasecmp(value, "banger-exec") == 0;
    request->upgrades_to_session = strcasecmp(value, "banger-session") == 0;
    request->upgrades_to_tcp = strcasecmp(value, "banger-tcp") == 0;
  }
  return true;
}

/* Reads the head, which ends with NUL and is written into. Replies and returns false when it is no good. */
static bool parse_head(struct stream *stream, char *head, struct request *request) {
  char *rest = strstr(head, "\r\n"), *target = strchr(head, ' '), *version = NULL;
  bool chunked = false;
  if (rest) *rest = 0;
  if (target && rest && target < rest) {
    *target++ = 0;
    version = strchr(target, ' ');
  }
  if (!version || strncmp(version + 1, "HTTP/1.", 7) != 0 || *target != '/') {
    http_fail(stream, "400 Bad Request", "bad_request", "this is no HTTP/1.1 request");
    return false;
  }
  *version = 0;
  char *query = strchr(target, '?');
  if (query) *query++ = 0;
  if (strlen(head) >= sizeof request->method || strlen(target) >= sizeof request->path ||
      (query && strlen(query) >= sizeof request->query)) {
    http_fail(stream, "404 Not Found", "no_such_route", "the agent does not serve this path");
    return false;
  }
  strcpy(request->method, head);
  strcpy(request->path, target);
  if (query) strcpy(request->query, query);
  for (char *line = rest + 2; *line; line = rest + 2) {
    rest = strstr(line, "\r\n");
    if (rest) *rest = 0;
    if (!rest || !take_header(request, line, &chunked)) {
      http_fail(stream, "400 Bad Request", "bad_request", "a header of the request is malformed");
      return false;
    }
  }
  if (chunked) http_fail(stream, "411 Length Required", "length_required", "the request must have a Content-Length");
  return !chunked;
}

static void dispatch(struct stream *stream, const struct request *request) {
  bool known = false;
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
    if (strcmp(routes[i].path, request->path) != 0) continue;
    known = true;
    if (strcmp(routes[i].method, request->method) == 0) {
      routes[i].start(stream, request);
      return;
    }
  }
  if (known) http_fail(stream, "405 Method Not Allowed", "method_not_allowed", "the path has no such method");
  else http_fail(stream, "404 Not Found", "no_such_route", "the agent does not serve this path");
}

static void read_head(struct stream *stream) {
  static const char *const end = "\r\n\r\n";
  static char head[HEAD_MAX + 1];
  static struct request request;
  size_t length = buffer_length(&stream->in);
  const char *found = memmem(buffer_head(&stream->in), length, end, 4);
  size_t head_length = found ? (size_t)(found - buffer_head(&stream->in)) + 4 : 0;
  if (head_length > HEAD_MAX || (!found && length > HEAD_MAX)) {
    http_fail(stream, "431 Request Header Fields Too Large", "head_too_large", "the request's head is too large");
    return;
  }
  if (!found) {
    if (stream->in_eof && length == 0) stream_finish(stream);
    else if (stream->in_eof) http_fail(stream, "400 Bad Request", "bad_request", "the request is cut short");
    return;
  }
  memcpy(head, buffer_head(&stream->in), head_length);
  buffer_take(&stream->in, head_length);
  /* The lines keep their ends; the empty line goes. */
  head[head_length - 2] = 0;
  request = (struct request){0};
  if (memchr(head, 0, head_length - 2)) {
    http_fail(stream, "400 Bad Request", "bad_request", "this is no HTTP/1.1 request");
    return;
  }
  if (!parse_head(stream, head, &request)) return;
  dispatch(stream, &request);
  /* The body may have come with the head. */
  if (stream->service != &http_service) stream->service->pump(stream);
}

const struct service http_service = {.pump = read_head};

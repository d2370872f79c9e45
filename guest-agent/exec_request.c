/* The JSON body of POST /exec: collects it, reads what is to be run, and upgrades the stream. */
#include "exec.h"
#include "http.h"
#include "json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What Linux takes (2 MiB of arguments and environment) fits, however JSON has to spell it. */
#define BODY_MAX (16 * 1024 * 1024)
#define LIST_MAX 131072
/* What a double holds exactly, as JSON has it. */
#define RECEIVED_MAX 9007199254740991
#define GRACE_MS 300000
#define GRACE_MAX_MS 3600000

struct list {
  char **items; /* ends with NULL */
  size_t length, size;
};

/* Returns 0, or -1 when the list is full or memory is out. */
static int append(struct list *list, char *item) {
  if (list->length + 1 >= list->size) {
    size_t size = list->size ? list->size * 2 : 16;
    char **items = list->length < LIST_MAX ? realloc(list->items, size * sizeof *items) : NULL;
    if (!items) return -1;
    list->items = items;
    list->size = size;
  }
  list->items[list->length++] = item;
  list->items[list->length] = NULL;
  return 0;
}

static void read_argv(struct json *json, struct list *argv) {
  if (!json_open(json, '[')) return;
  while (json_more(json, ']')) {
    char *argument = json_string(json);
    if (!argument || append(argv, argument) < 0) json->bad = true;
  }
}

static void read_env(struct json *json, struct list *env) {
  if (!json_open(json, '{')) return;
  while (json_more(json, '}')) {
    char *name = json_key(json), *value = json_string(json);
    if (json->bad || !*name || strchr(name, '=')) {
      json->bad = true;
      return;
    }
    size_t name_length = strlen(name), size = name_length + strlen(value) + 2;
    char *entry = malloc(size);
    if (!entry || append(env, entry) < 0) {
      free(entry);
      json->bad = true;
      return;
    }
    memcpy(entry, name, name_length);
    entry[name_length] = '=';
    strcpy(entry + name_length + 1, value);
  }
}

/* Returns NULL, or what is wrong with the body, into which the request points. It is to be freed in both cases. */
static const char *read_request(struct spawn_request *request, struct exec_session *session, char *body) {
  struct json json = {.at = body};
  struct list argv = {0}, env = {0};
  *request = (struct spawn_request){.cols = 80, .rows = 24};
  *session = (struct exec_session){.received = -1, .grace_ms = GRACE_MS};
  if (json_open(&json, '{')) {
    while (json_more(&json, '}')) {
      const char *key = json_key(&json);
      if (!key) break;
      if (strcmp(key, "argv") == 0 && !argv.items) read_argv(&json, &argv);
      else if (strcmp(key, "env") == 0 && !env.items) read_env(&json, &env);
      else if (strcmp(key, "cwd") == 0) request->cwd = json_string(&json);
      else if (strcmp(key, "start") == 0) request->start = json_string(&json);
      else if (strcmp(key, "user") == 0) request->user = json_string(&json);
      else if (strcmp(key, "tty") == 0) request->tty = json_bool(&json);
      else if (strcmp(key, "cols") == 0) request->cols = json_integer(&json, 1, 65535);
      else if (strcmp(key, "rows") == 0) request->rows = json_integer(&json, 1, 65535);
      else if (strcmp(key, "session") == 0) session->id = json_string(&json);
      else if (strcmp(key, "received") == 0) session->received = json_integer(&json, 0, RECEIVED_MAX);
      else if (strcmp(key, "graceMs") == 0) session->grace_ms = json_integer(&json, 0, GRACE_MAX_MS);
      else json_skip(&json);
    }
  }
  json_end(&json);
  request->argv = argv.items;
  if (!env.items && append(&env, NULL) == 0) env.length = 0;
  request->env = env.items;
  if (json.bad || !env.items) return "the body must be JSON with argv, and maybe cwd, env, user, tty, cols and rows";
  if (session->id && (!*session->id || strlen(session->id) > SESSION_ID_MAX))
    return "session must be an id of at most 64 bytes";
  if (!argv.items || !*argv.items[0]) return "argv must name a program";
  return NULL;
}

static void free_request(struct spawn_request *request) {
  for (char **entry = request->env; entry && *entry; entry++) free(*entry);
  free(request->env);
  free(request->argv);
}

struct body {
  bool session; /* the stream is to become a session's */
  size_t length, expected;
  char text[]; /* ends with NUL */
};

static void drop_body(struct stream *stream) {
  free(stream->state);
}

static void begin(struct stream *stream, struct body *body) {
  static const char *const greetings[] = {
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: banger-exec\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: banger-session\r\n\r\n",
  };
  struct spawn_request request;
  struct exec_session session;
  const char *wrong = read_request(&request, &session, body->text);
  if (!wrong && body->session != (session.id != NULL)) wrong = "a session has an id, and nothing else has one";
  if (wrong)
    http_fail(stream, "400 Bad Request", "bad_request", wrong);
  else if (exec_begin(stream, greetings[body->session], &request, &session) == 0)
    ;
  else if (errno == ESRCH)
    http_fail(stream, "404 Not Found", "no_such_session", "the agent knows no command of this id");
  else if (errno == ERANGE)
    http_fail(stream, "409 Conflict", "bad_offset", "the agent has no output from there on");
  else
    http_fail(stream, "503 Service Unavailable", "no_resources", strerror(errno));
  free_request(&request);
  free(body);
}

static void collect_body(struct stream *stream) {
  struct body *body = stream->state;
  size_t got = buffer_length(&stream->in);
  if (got > body->expected - body->length) got = body->expected - body->length;
  memcpy(body->text + body->length, buffer_head(&stream->in), got);
  buffer_take(&stream->in, got);
  body->length += got;
  if (body->length == body->expected) {
    begin(stream, body);
  } else if (stream->in_eof) {
    free(body);
    http_fail(stream, "400 Bad Request", "bad_request", "the body is shorter than its Content-Length");
  }
}

static const struct service body_service = {.pump = collect_body, .drop = drop_body};

void exec_start(struct stream *stream, const struct request *request) {
  if (!request->upgrades_to_exec && !request->upgrades_to_session) {
    http_fail(stream, "426 Upgrade Required", "upgrade_required",
              "the request must ask for Upgrade: banger-exec or banger-session");
    return;
  }
  if (request->content_length > BODY_MAX) {
    http_fail(stream, "413 Content Too Large", "too_large", "the request is larger than 16 MiB");
    return;
  }
  struct body *body = calloc(1, sizeof *body + request->content_length + 1);
  if (!body) {
    http_fail(stream, "503 Service Unavailable", "no_resources", "the agent is out of memory");
    return;
  }
  body->expected = request->content_length;
  body->session = request->upgrades_to_session;
  stream->state = body;
  stream->service = &body_service;
}

void exec_end(struct stream *stream, const struct request *request) {
  char id[SESSION_ID_MAX + 1];
  if (!http_query(request, "session", id, sizeof id)) {
    http_fail(stream, "400 Bad Request", "bad_request", "the query must have session=ID");
    return;
  }
  exec_hang_up(id);
  http_reply(stream, "200 OK", "{}");
}

/* GET /ports: what listens in the guest, once or again each time it changes. Looks only while somebody watches. */
#define _GNU_SOURCE
#include "http.h"
#include "json.h"
#include "listeners.h"
#include "loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 1000
/* One listener as JSON at its longest. */
#define ENTRY_MAX 1024

/* The list as one chunk of a reply, shared by those who are being sent it. */
struct text {
  int holders;
  size_t length;
  char data[];
};

struct watcher {
  bool once;
  struct text *sending; /* NULL: up to date, or waiting */
  size_t sent;
  unsigned version; /* of the text last sent */
};

static struct listener listeners[LISTENERS_MAX];
static size_t listener_count;
static struct text *current;
static unsigned current_version;
static int64_t look_again_ms;

static void release(struct text *text) {
  if (text && --text->holders == 0) free(text);
}

static size_t write_entry(char *to, const struct listener *listener) {
  char process[128], command[512];
  json_quote(process, sizeof process, listener->process);
  json_quote(command, sizeof command, listener->command);
  return snprintf(to, ENTRY_MAX,
                  "{\"proto\":\"%s\",\"address\":\"%s\",\"port\":%u,\"pid\":%d,\"process\":%s,\"command\":%s}",
                  listener->proto, listener->address, listener->port, (int)listener->pid, process, command);
}

/* Several sockets may share an address and port; one of them is told. */
static bool repeats(size_t index) {
  const struct listener *this = &listeners[index], *last = this - 1;
  return index > 0 && this->port == last->port && strcmp(this->proto, last->proto) == 0 &&
         strcmp(this->address, last->address) == 0;
}

static struct text *write_text(void) {
  static const char start[] = "{\"ports\":[", end[] = "]}\n\r\n";
  /* The chunk's size is written with a fixed width in front. */
  enum { SIZE_LINE = 10 };
  struct text *text = malloc(sizeof *text + SIZE_LINE + sizeof start + sizeof end + listener_count * (ENTRY_MAX + 1));
  if (!text) return NULL;
  char *body = text->data + SIZE_LINE, *at = stpcpy(body, start);
  for (size_t i = 0; i < listener_count; i++) {
    if (repeats(i)) continue;
    if (at[-1] == '}') *at++ = ',';
    at += write_entry(at, &listeners[i]);
  }
  at = stpcpy(at, end);
  char size_line[SIZE_LINE + 1];
  snprintf(size_line, sizeof size_line, "%08zx\r\n", (size_t)(at - body) - 2);
  memcpy(text->data, size_line, SIZE_LINE);
  text->holders = 1;
  text->length = at - text->data;
  return text;
}

static void look(void) {
  look_again_ms = now_ms() + LOOK_EVERY_MS;
  if (!listeners_update(listeners, &listener_count) && current) return;
  struct text *text = write_text();
  if (!text) return;
  release(current);
  current = text;
  current_version++;
}

static void free_watcher(struct stream *stream) {
  struct watcher *watcher = stream->state;
  release(watcher->sending);
  free(watcher);
}

static void end(struct stream *stream) {
  free_watcher(stream);
  buffer_put(&stream->out, "0\r\n\r\n", 5);
  stream_finish(stream);
}

static void pump_ports(struct stream *stream) {
  struct watcher *watcher = stream->state;
  if (!watcher->once && now_ms() >= look_again_ms) look();
  if (!watcher->sending && watcher->version != current_version && current) {
    watcher->sending = current;
    watcher->sent = 0;
    watcher->version = current_version;
    current->holders++;
  }
  if (watcher->sending) {
    size_t length = watcher->sending->length - watcher->sent, room = buffer_room(&stream->out);
    if (length > room) length = room;
    buffer_put(&stream->out, watcher->sending->data + watcher->sent, length);
    watcher->sent += length;
    if (watcher->sent < watcher->sending->length) return;
    release(watcher->sending);
    watcher->sending = NULL;
  }
  if ((watcher->once || stream->in_eof) && buffer_room(&stream->out) >= 5) end(stream);
}

static void watch_ports(struct stream *stream) {
  struct watcher *watcher = stream->state;
  if (!watcher->once) loop_until(look_again_ms);
}

static const struct service ports_service = {.pump = pump_ports, .watch = watch_ports, .drop = free_watcher};

void ports_start(struct stream *stream, const struct request *request) {
  char value[8];
  struct watcher *watcher = calloc(1, sizeof *watcher);
  look();
  if (!watcher || !current) {
    free(watcher);
    http_fail(stream, "503 Service Unavailable", "no_resources", "the agent is out of memory");
    return;
  }
  watcher->once = !http_query(request, "watch", value, sizeof value) || strcmp(value, "1") != 0;
  http_begin_chunks(stream, watcher->once ? "application/json" : "application/x-ndjson");
  stream->state = watcher;
  stream->service = &ports_service;
}

/* What clients of the control socket are told: one line each, and "ok" at the end. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

enum { OUT_MOST = 512 * 1024 };

void say(struct client *client, const char *format, ...) {
  char line[LINE_MOST + 2];
  va_list values;
  va_start(values, format);
  int length = vsnprintf(line, sizeof line - 1, format, values);
  va_end(values);
  if (length < 0 || length > LINE_MOST) length = LINE_MOST;
  line[length++] = '\n';
  if (client->out_length + (size_t)length > client->out_room) {
    size_t room = client->out_room == 0 ? 4096 : client->out_room * 2;
    char *more = room > OUT_MOST ? NULL : realloc(client->out, room);
    if (more == NULL) {
      client->broken = true;
      return;
    }
    client->out = more, client->out_room = room;
  }
  memcpy(client->out + client->out_length, line, (size_t)length);
  client->out_length += (size_t)length;
}

void settle(struct client *client, const char *error) {
  if (error == NULL) say(client, "ok");
  else say(client, "error %s", error);
}

bool take_number(const char *text, uint64_t most, uint64_t *value) {
  char *end;
  if (*text < '0' || *text > '9' || strlen(text) > 18) return false;
  *value = strtoull(text, &end, 10);
  return *end == 0 && *value <= most;
}

bool take_place(char **words, uint32_t *address, uint16_t *port) {
  struct in_addr found;
  uint64_t number;
  if (inet_pton(AF_INET, words[0], &found) != 1 || !take_number(words[1], 65535, &number)) return false;
  *address = ntohl(found.s_addr), *port = (uint16_t)number;
  return true;
}

void tell_status(struct client *client) {
  say(client, "version 1");
  say(client, "policy %s", policy_digest());
  say(client, "qemu %s", qemu_connected() ? "connected" : "waiting");
  say(client, "frames-in %llu", (unsigned long long)counts.frames_in);
  say(client, "frames-out %llu", (unsigned long long)counts.frames_out);
  say(client, "malformed %llu", (unsigned long long)counts.malformed);
  say(client, "dropped %llu", (unsigned long long)counts.dropped);
  say(client, "tcp %d", tcp_count());
  say(client, "tcp-half-open %d", tcp_half_open());
  say(client, "udp %d", udp_count());
  say(client, "dns-pending %d", dns_pending());
  say(client, "evicted %llu", (unsigned long long)counts.evicted);
  say(client, "late-refused %llu", (unsigned long long)counts.late_refused);
  say(client, "log-next %llu", (unsigned long long)log_next);
  say(client, "landlock %d", has_landlock);
  say(client, "peers %d", peers_known());
  say(client, "ok");
}

static void tell_counter(void *to, const char *id, uint64_t allowed, uint64_t denied) {
  say(to, "rule %s %llu %llu", id, (unsigned long long)allowed, (unsigned long long)denied);
}
static void tell_destination(void *to, const char *line) { say(to, "%s", line); }
static void tell_forward(void *to, uint32_t address, uint16_t port, uint16_t guest_port) {
  struct in_addr in = {htonl(address)};
  say(to, "forward %s %u %u", inet_ntoa(in), port, guest_port);
}

void check(struct client *client, char **words) {
  char name[NAME_MOST + 1], list[256] = "";
  uint32_t address;
  uint16_t port;
  enum proto proto = strcmp(words[1], "tcp") == 0 ? TCP : strcmp(words[1], "udp") == 0 ? UDP : ICMP;
  if (proto == ICMP && strcmp(words[1], "icmp") != 0) return settle(client, "syntax");
  struct verdict verdict;
  if (take_place(words + 2, &address, &port)) {
    verdict = judge(proto, address, port);
  } else {
    uint64_t number;
    if (!take_number(words[3], 65535, &number) || !clean_name(words[2], strlen(words[2]), name))
      return settle(client, "syntax");
    verdict = judge_name(name);
    int at = -1;
    if (verdict.allow) verdict = judge_unbound(proto, name, (uint16_t)number);
    for (bool first = true; next_address(name, &at, &address) && strlen(list) < 200; first = false) {
      struct in_addr in = {htonl(address)};
      struct verdict bound = judge_as(proto, address, (uint16_t)number, name);
      if (judge_name(name).allow && (first || (bound.allow && !verdict.allow))) verdict = bound;
      snprintf(list + strlen(list), sizeof list - strlen(list), " %s", inet_ntoa(in));
    }
  }
  say(client, "ok %s %s %s%s", verdict.allow ? "allow" : "deny", id_text(verdict.id), why_text(verdict.why), list);
}

void tell_counters(struct client *client) {
  each_counter(tell_counter, client);
  settle(client, NULL);
}

void tell_destinations(struct client *client) {
  each_destination(tell_destination, client);
  settle(client, NULL);
}

void tell_forwards(struct client *client) {
  each_forward(tell_forward, client);
  settle(client, NULL);
}

/* The daemon's side: lines over a Unix socket of this user's, each answered in its turn. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"

static const char path[] = "net-control.sock";
enum { WORDS_MOST = 10, LOG_AT_ONCE = 64 };

static struct client clients[CLIENTS_MOST];
static int listening = -1, place = -1;
static uid_t own_uid;

/* The one transaction, and what was wrong in it first. */
static struct client *committing;
static const char *fault;

static void drop(struct client *client) {
  syscall(SYS_close, client->fd);
  free(client->out);
  if (committing == client) committing = NULL;
  *client = (struct client){.fd = -1};
}

static void begin(struct client *client, const char *digest) {
  if (committing != NULL) return settle(client, "in_use");
  committing = client;
  fault = policy_begin(digest) ? NULL : "syntax";
}

static void forward(struct client *client, char **words, int count) {
  uint32_t address;
  uint16_t port;
  uint64_t guest_port;
  if (!take_place(words + 1, &address, &port)) return settle(client, "range");
  if (count == 3) forward_remove(address, port);
  if (count == 3) return settle(client, NULL);
  if (!take_number(words[3], 65535, &guest_port)) return settle(client, "range");
  settle(client, forward_add(address, port, (uint16_t)guest_port));
}

static void follow(struct client *client, const char *from) {
  if (!take_number(from, UINT64_MAX, &client->follow_at)) return settle(client, "range");
  uint64_t oldest = log_next > LOG_MOST ? log_next - LOG_MOST : 1;
  if (client->follow_at == 0) client->follow_at = oldest;
  if (client->follow_at > log_next) client->follow_at = log_next;
  client->follows = true;
  say(client, "ok %llu", (unsigned long long)client->follow_at);
}

static bool asks(char **words, int count, const char *verb, int arguments) {
  return count == arguments + 1 && strcmp(words[0], verb) == 0;
}

static void request(struct client *client, char **words, int count) {
  if (committing == client && asks(words, count, "commit", 0)) {
    committing = NULL;
    const char *error = fault != NULL ? fault : policy_commit();
    if (error == NULL) say(client, "ok %s", policy_digest());
    else settle(client, error);
  } else if (committing == client) {
    const char *error = policy_line(words, count);
    if (fault == NULL) fault = error;
  } else if (asks(words, count, "hello", 0)) {
    say(client, "ok banger-net 1");
  } else if (asks(words, count, "status", 0)) {
    tell_status(client);
  } else if (asks(words, count, "policy", 1)) {
    begin(client, words[1]);
  } else if (asks(words, count, "forward", 3) || asks(words, count, "unforward", 2)) {
    forward(client, words, count);
  } else if (asks(words, count, "forwards", 0)) {
    tell_forwards(client);
  } else if (asks(words, count, "counters", 0)) {
    tell_counters(client);
  } else if (asks(words, count, "destinations", 0)) {
    tell_destinations(client);
  } else if (asks(words, count, "log", 1)) {
    follow(client, words[1]);
  } else if (asks(words, count, "check", 3)) {
    check(client, words);
  } else {
    settle(client, "unknown");
  }
}

static void take_line(struct client *client, char *line) {
  char *words[WORDS_MOST + 1], *rest = line;
  int count = 0;
  for (char *word; count < WORDS_MOST && (word = strsep(&rest, " ")) != NULL;) words[count++] = word;
  bool odd = rest != NULL;
  for (int i = 0; i < count; i++) odd |= *words[i] == 0;
  words[count] = NULL;
  if (odd && committing == client) fault = fault == NULL ? "syntax" : fault;
  else if (odd) settle(client, "syntax");
  else request(client, words, count);
}

static void take_bytes(struct client *client, const char *bytes, size_t length) {
  for (size_t i = 0; i < length && client->fd >= 0 && !client->broken && !client->follows; i++) {
    char c = bytes[i];
    if (c != '\n' && (c < ' ' || c > '~' || client->in_length == LINE_MOST)) {
      client->broken = true;
    } else if (c != '\n') {
      client->in[client->in_length++] = c;
    } else {
      client->in[client->in_length] = 0;
      client->in_length = 0;
      take_line(client, client->in);
    }
  }
}

static void welcome(void) {
  struct ucred peer = {0};
  socklen_t size = sizeof peer;
  int fd = (int)syscall(SYS_accept4, listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  struct client *free_one = NULL;
  for (int i = 0; i < CLIENTS_MOST && free_one == NULL; i++)
    if (clients[i].fd < 0) free_one = &clients[i];
  if (!known || (peer.uid != 0 && peer.uid != own_uid) || free_one == NULL) syscall(SYS_close, fd);
  else *free_one = (struct client){.fd = fd, .place = -1};
}

static void catch_up(struct client *client) {
  char line[LINE_MOST + 1];
  uint64_t oldest = log_next > LOG_MOST ? log_next - LOG_MOST : 1;
  if (client->follow_at < oldest) {
    say(client, "lost %llu", (unsigned long long)(oldest - client->follow_at));
    client->follow_at = oldest;
  }
  for (int i = 0; i < LOG_AT_ONCE && client->follow_at < log_next; i++, client->follow_at++)
    if (log_line(client->follow_at, line, sizeof line)) say(client, "%s", line);
}

static void write_out(struct client *client) {
  /* Whoever follows the log gets more of it once that is read which was sent. */
  if (client->follows && client->out_length == 0) catch_up(client);
  if (client->out_length > client->out_at) {
    long sent = syscall(SYS_sendto, client->fd, client->out + client->out_at, client->out_length - client->out_at,
                        MSG_NOSIGNAL, NULL, 0);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) client->broken = true;
    if (sent > 0) client->out_at += (size_t)sent;
  }
  if (client->out_at == client->out_length) client->out_at = client->out_length = 0;
}

static void read_in(struct client *client) {
  char bytes[4096];
  long got = syscall(SYS_recvfrom, client->fd, bytes, sizeof bytes, 0, NULL, NULL);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) client->broken = true;
  if (got > 0) take_bytes(client, bytes, (size_t)got);
}

void control_open(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  strcpy(name.sun_path, path);
  own_uid = getuid();
  for (int i = 0; i < CLIENTS_MOST; i++) clients[i].fd = -1;
  listening = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink(path);
  if (listening < 0 || bind(listening, (void *)&name, sizeof name) < 0 || chmod(path, 0600) < 0) fail(path);
  if (listen(listening, CLIENTS_MOST) < 0) fail(path);
}

void control_watch(void) {
  place = watch(listening, POLLIN);
  for (int i = 0; i < CLIENTS_MOST; i++) {
    struct client *client = &clients[i];
    if (client->fd < 0) continue;
    write_out(client);
    if (client->broken) {
      drop(client);
      continue;
    }
    client->place = watch(client->fd, (short)(POLLIN | (client->out_length > 0 ? POLLOUT : 0)));
    if (client->follows && client->follow_at < log_next && client->out_length == 0) wake_within(0);
  }
}

void control_read(void) {
  if (seen_events(place)) welcome();
  for (int i = 0; i < CLIENTS_MOST; i++)
    if (clients[i].fd >= 0 && clients[i].place >= 0 && seen_events(clients[i].place) & ~POLLOUT) read_in(&clients[i]);
}

/* Carries each stream on a connection of its own. */
#define _GNU_SOURCE
#include "socket.h"

#include "loop.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* From <linux/vm_sockets.h>, which musl-gcc does not reach. */
#define VMADDR_CID_ANY UINT32_MAX
#define VMADDR_CID_HOST 2

struct sockaddr_vsock {
  sa_family_t family;
  unsigned short reserved;
  uint32_t port, cid;
  unsigned char flags, zero[3];
};

struct connection {
  struct source source; /* fd -1: free */
  struct stream stream;
  bool end_sent;
};

static struct source listener = {.fd = -1};
static struct connection connections[STREAM_MAX];
static bool started;

int socket_listen_unix(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  unlink(path);
  mode_t mask = umask(0177);
  int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
  umask(mask);
  if (bound == 0 && listen(fd, STREAM_MAX) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

int socket_listen_vsock(uint32_t port) {
  struct sockaddr_vsock address = {.family = AF_VSOCK, .port = port, .cid = VMADDR_CID_ANY};
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, STREAM_MAX) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

void sockets_serve(int fd) {
  listener = (struct source){.fd = fd};
  if (!started)
    for (int i = 0; i < STREAM_MAX; i++) connections[i].source.fd = -1;
  started = true;
}

static struct connection *free_connection(void) {
  for (int i = 0; started && i < STREAM_MAX; i++)
    if (connections[i].source.fd < 0) return &connections[i];
  return NULL;
}

static void close_connection(struct connection *connection) {
  stream_close(&connection->stream);
  source_close(&connection->source);
}

/* Over vsock only the host may speak: any user of the guest could connect to the guest's own address. */
static bool may_connect(const struct sockaddr_storage *peer) {
  return peer->ss_family != AF_VSOCK || ((const struct sockaddr_vsock *)peer)->cid == VMADDR_CID_HOST;
}

static void accept_some(void) {
  struct connection *connection;
  while ((connection = free_connection())) {
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    int fd = accept4(listener.fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (!may_connect(&peer) || stream_open(&connection->stream) < 0) {
      close(fd);
      continue;
    }
    connection->source = (struct source){.fd = fd};
    connection->end_sent = false;
  }
}

static void read_some(struct connection *connection) {
  struct stream *stream = &connection->stream;
  short ready = connection->source.ready;
  connection->source.ready = 0;
  size_t room = buffer_room(&stream->in);
  if (ready & (POLLERR | POLLHUP | POLLNVAL) && !(ready & POLLIN)) {
    close_connection(connection);
    return;
  }
  if (!(ready & POLLIN) || room == 0 || stream->in_eof) return;
  ssize_t got = read(connection->source.fd, buffer_tail(&stream->in), room);
  if (got > 0)
    buffer_added(&stream->in, got);
  else if (got == 0 && !(ready & POLLHUP))
    stream->in_eof = true;
  else if (got == 0 || (errno != EAGAIN && errno != EINTR))
    close_connection(connection);
}

void sockets_read(void) {
  if (listener.ready) accept_some();
  for (int i = 0; started && i < STREAM_MAX; i++)
    if (connections[i].source.fd >= 0) read_some(&connections[i]);
}

void sockets_pump(void) {
  for (int i = 0; started && i < STREAM_MAX; i++)
    if (connections[i].source.fd >= 0) connections[i].stream.service->pump(&connections[i].stream);
}

static bool write_some(struct connection *connection) {
  struct stream *stream = &connection->stream;
  size_t length = buffer_length(&stream->out);
  ssize_t sent = length ? send(connection->source.fd, buffer_head(&stream->out), length, MSG_NOSIGNAL) : 0;
  if (sent > 0) buffer_take(&stream->out, sent);
  bool broken = sent < 0 && errno != EAGAIN && errno != EINTR;
  if (broken || stream->aborted) {
    close_connection(connection);
    return false;
  }
  if (stream->finished && buffer_length(&stream->out) == 0) {
    if (!connection->end_sent) shutdown(connection->source.fd, SHUT_WR);
    connection->end_sent = true;
    if (stream->in_eof) close_connection(connection);
  }
  return sent > 0;
}

int sockets_write(void) {
  int moved = 0;
  for (int i = 0; started && i < STREAM_MAX; i++)
    if (connections[i].source.fd >= 0 && write_some(&connections[i])) moved = 1;
  return moved;
}

void sockets_watch(void) {
  if (free_connection()) loop_want(&listener, POLLIN);
  for (int i = 0; started && i < STREAM_MAX; i++) {
    struct connection *connection = &connections[i];
    if (connection->source.fd < 0) continue;
    struct stream *stream = &connection->stream;
    short events = buffer_length(&stream->out) ? POLLOUT : 0;
    if (!stream->in_eof && buffer_room(&stream->in)) events |= POLLIN;
    loop_want(&connection->source, events);
    if (stream->service->watch) stream->service->watch(stream);
  }
}

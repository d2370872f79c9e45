/* POST /connect: a TCP connection to a server on the guest's loopback, whose bytes are the upgraded stream's. */
#define _GNU_SOURCE
#include "http.h"
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The server is read only with so much room, else its bytes would travel one by one. */
#define ROOM_MIN 2048

struct connection {
  struct source socket;
  bool connected, end_sent;
};

static void free_connection(struct connection *connection) {
  source_close(&connection->socket);
  free(connection);
}

static void drop_connection(struct stream *stream) {
  free_connection(stream->state);
}

static void fail(struct stream *stream, int error) {
  free_connection(stream->state);
  http_fail(stream, "502 Bad Gateway", "connection_refused", strerror(error));
}

/* Whether the server has taken the connection by now. */
static bool await_connection(struct stream *stream, struct connection *connection) {
  static const char upgraded[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: banger-tcp\r\n\r\n";
  int error = 0;
  socklen_t size = sizeof error;
  if (connection->connected) return true;
  if (!connection->socket.ready) return false;
  connection->socket.ready = 0;
  if (getsockopt(connection->socket.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  if (error) {
    fail(stream, error);
    return false;
  }
  buffer_put(&stream->out, upgraded, sizeof upgraded - 1);
  return connection->connected = true;
}

/* Passes on what the host sent. Returns 0, or -1 when the server takes nothing any more. */
static int send_input(struct stream *stream, struct connection *connection) {
  struct buffer *in = &stream->in;
  while (buffer_length(in)) {
    ssize_t sent = send(connection->socket.fd, buffer_head(in), buffer_length(in), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    buffer_take(in, sent);
  }
  if (stream->in_eof && !connection->end_sent) {
    shutdown(connection->socket.fd, SHUT_WR);
    connection->end_sent = true;
  }
  return 0;
}

/* Takes what the server sent. Returns 1, 0 at its end, or -1 when the connection broke. */
static int take_output(struct stream *stream, struct connection *connection) {
  while (connection->socket.ready && buffer_room(&stream->out) >= ROOM_MIN) {
    size_t room = buffer_room(&stream->out);
    ssize_t got = read(connection->socket.fd, buffer_tail(&stream->out), room);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return 0;
    if (got < 0) {
      connection->socket.ready = 0;
      return errno == EAGAIN ? 1 : -1;
    }
    buffer_added(&stream->out, got);
  }
  return 1;
}

static void pump_connection(struct stream *stream) {
  struct connection *connection = stream->state;
  if (!await_connection(stream, connection)) return;
  int lost = send_input(stream, connection), more = take_output(stream, connection);
  if (more == 1 && lost == 0) return;
  free_connection(connection);
  if (more == 0) stream_finish(stream);
  else stream_abort(stream);
}

static void watch_connection(struct stream *stream) {
  struct connection *connection = stream->state;
  short events = 0;
  if (!connection->connected || buffer_length(&stream->in)) events |= POLLOUT;
  if (connection->connected && buffer_room(&stream->out) >= ROOM_MIN) events |= POLLIN;
  if (events) loop_want(&connection->socket, events);
}

static const struct service connection_service = {
    .pump = pump_connection, .watch = watch_connection, .drop = drop_connection};

/* Fills in the address where it is one of the guest's own loopback; returns its size, or 0. */
static socklen_t loopback_address(const char *text, int port, struct sockaddr_storage *address) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
  *address = (struct sockaddr_storage){0};
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return ntohl(v4->sin_addr.s_addr) >> 24 == 127 ? sizeof *v4 : 0;
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) return 0;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ? sizeof *v6 : 0;
}

void connect_start(struct stream *stream, const struct request *request) {
  char text[64], port_text[8] = "";
  struct sockaddr_storage address;
  http_query(request, "port", port_text, sizeof port_text);
  int port = atoi(port_text), one = 1;
  socklen_t size = 0;
  if (http_query(request, "address", text, sizeof text)) size = loopback_address(text, port, &address);
  if (!request->upgrades_to_tcp || request->content_length || size == 0 || port < 1 || port > 65535) {
    http_fail(stream, "400 Bad Request", "bad_request",
              "the request must ask for Upgrade: banger-tcp, and name a port of a loopback address");
    return;
  }
  struct connection *connection = calloc(1, sizeof *connection);
  if (!connection) {
    http_fail(stream, "503 Service Unavailable", "no_resources", "the agent is out of memory");
    return;
  }
  stream->state = connection;
  connection->socket.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connection->socket.fd < 0) {
    fail(stream, errno);
    return;
  }
  setsockopt(connection->socket.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(connection->socket.fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS) {
    fail(stream, errno);
    return;
  }
  /* One that was taken at once is writable at the next look. */
  stream->service = &connection_service;
}

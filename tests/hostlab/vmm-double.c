/* A double of Firecracker and jailer in one: takes the same requests, holds the same tap, disks and sockets, and answers for the guest. */
#define _GNU_SOURCE
#include "../doubles/jailer-double.h"
#include "vmm-double.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* From linux/if_tun.h, which a compiler for musl does not find. */
#define TUNSETIFF 0x400454ca
#define IFF_TAP 0x0002
#define IFF_NO_PI 0x1000

#define VERSION "1.16.1"
#define REQUEST_MAX 65536
#define CLIENTS_MAX 32
#define DRIVES_MAX 8

struct drive {
  char id[64], path[256];
  bool read_only;
  int fd;
};

/* Who is connected to the API or the guest's agent, and what it has sent so far; it may hold its connection and say nothing. */
struct client {
  int fd;        /* -1: free */
  bool to_agent; /* first names the guest's port */
  bool greeted;  /* has named it */
  size_t have;
  char sent[REQUEST_MAX];
};

static struct drive drives[DRIVES_MAX];
static struct client clients[CLIENTS_MAX];
static char tap_name[IFNAMSIZ], vsock_path[108], id[64];
static struct guest guest;
static int requests_fd = -1, vsock_fd = -1;
static bool running;

/* The text of a member; false where the object has none of this name. Enough for what banger writes. */
static bool text_of(const char *object, const char *name, char *value, size_t size) {
  char key[80];
  snprintf(key, sizeof key, "\"%s\":\"", name);
  const char *start = strstr(object, key);
  if (!start) return false;
  start += strlen(key);
  snprintf(value, size, "%.*s", (int)strcspn(start, "\""), start);
  return true;
}

static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0) return -1;
  return fd;
}

static bool can_read(const char *body, const char *member) {
  char path[256];
  if (!text_of(body, member, path, sizeof path)) return false;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static const char *add_drive(const char *body) {
  struct drive *drive = drives;
  while (drive < drives + DRIVES_MAX && drive->id[0]) drive++;
  if (drive == drives + DRIVES_MAX) return "too many drives";
  if (!text_of(body, "path_on_host", drive->path, sizeof drive->path)) return "a drive without path_on_host";
  drive->read_only = strstr(body, "\"is_read_only\":true") != NULL;
  drive->fd = open(drive->path, (drive->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (drive->fd < 0) return strerror(errno);
  text_of(body, "drive_id", drive->id, sizeof drive->id);
  return NULL;
}

static const char *open_tap(void) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  memcpy(request.ifr_name, tap_name, sizeof tap_name);
  guest.tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (guest.tap < 0 || ioctl(guest.tap, TUNSETIFF, &request) != 0) return strerror(errno);
  return NULL;
}

static const char *start(void) {
  if (running) return "The microVM is running already.";
  if (!drives[0].id[0] || !tap_name[0] || !vsock_path[0]) return "no drive, network interface or vsock";
  const char *wrong = open_tap();
  if (wrong) return wrong;
  vsock_fd = listen_at(vsock_path);
  if (vsock_fd < 0) return strerror(errno);
  running = true;
  printf("double of a guest: up\n");
  fflush(stdout);
  return NULL;
}

/* What is wrong with the request; NULL when it is done. */
static const char *perform(const char *method, const char *path, const char *body) {
  char text[64] = "";
  bool put = strcmp(method, "PUT") == 0;
  if (put && strcmp(path, "/actions") == 0) {
    text_of(body, "action_type", text, sizeof text);
    if (strcmp(text, "InstanceStart") == 0) return start();
    return strcmp(text, "SendCtrlAltDel") == 0 && running ? NULL : "no such action now";
  }
  if (strcmp(method, "PATCH") == 0 && strncmp(path, "/drives/", 8) == 0 && running) return NULL;
  if (!put || running) return "not supported after starting the microVM, or never";
  if (strncmp(path, "/drives/", 8) == 0) return add_drive(body);
  if (strncmp(path, "/network-interfaces/", 20) == 0) {
    text_of(body, "guest_mac", text, sizeof text);
    return text_of(body, "host_dev_name", tap_name, sizeof tap_name) && guest_mac(&guest, text) ? NULL : "no tap or mac";
  }
  if (strcmp(path, "/boot-source") == 0) {
    const char *address = strstr(body, "banger.ip=");
    if (!address || !guest_address(&guest, address + strlen("banger.ip="))) return "no address for the guest";
    return can_read(body, "kernel_image_path") && can_read(body, "initrd_path") ? NULL : "no kernel or initrd";
  }
  if (strcmp(path, "/vsock") == 0)
    return text_of(body, "uds_path", vsock_path, sizeof vsock_path) ? NULL : "no uds_path";
  const char *const others[] = {"/logger", "/machine-config", "/entropy", "/balloon"};
  for (size_t n = 0; n < sizeof others / sizeof *others; n++)
    if (strcmp(path, others[n]) == 0) return NULL;
  return "no such path";
}

/* The body of the HTTP request that `text` is; NULL as long as there is more to come of it. */
static char *whole(char *text) {
  char *end = strstr(text, "\r\n\r\n");
  if (!end) return NULL;
  const char *length = strcasestr(text, "\r\ncontent-length:");
  size_t wanted = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
  return strlen(end + 4) >= wanted ? end + 4 : NULL;
}

static void drop(struct client *client) {
  close(client->fd);
  client->fd = -1;
}

/* Answers the line that names the port; what may follow it stays. */
static void greet(struct client *client) {
  static const char line[] = "CONNECT 1024\n";
  size_t length = sizeof line - 1;
  if (strncmp(client->sent, line, client->have < length ? client->have : length) != 0) return drop(client);
  if (client->have < length) return;
  client->have -= length;
  memmove(client->sent, client->sent + length, client->have + 1);
  client->greeted = true;
  dprintf(client->fd, "OK 1073741824\n");
}

/* Takes what has come; the body of the request once that is whole. Drops a connection that has ended or says too much. */
static char *read_client(struct client *client) {
  ssize_t got = read(client->fd, client->sent + client->have, REQUEST_MAX - 1 - client->have);
  if (got <= 0) {
    drop(client);
    return NULL;
  }
  client->have += got;
  client->sent[client->have] = 0;
  if (client->to_agent && !client->greeted) greet(client);
  return client->fd >= 0 ? whole(client->sent) : NULL;
}

static void reply(int fd, const char *status, const char *json) {
  if (*json)
    dprintf(fd, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
            strlen(json), json);
  else
    dprintf(fd, "HTTP/1.1 %s\r\nConnection: close\r\n\r\n", status);
}

static void perform_request(int fd, const char *request, const char *body) {
  char method[16], path[256], answer[512];
  if (sscanf(request, "%15s %255s", method, path) != 2) return reply(fd, "400 Bad Request", "");
  if (strcmp(method, "GET") == 0 && strcmp(path, "/") == 0) {
    snprintf(answer, sizeof answer,
             "{\"app_name\":\"Firecracker\",\"id\":\"%s\",\"state\":\"%s\",\"vmm_version\":\"" VERSION "\"}", id,
             running ? "Running" : "Not started");
    return reply(fd, "200 OK", answer);
  }
  /* The test holds these lines against the published API. */
  dprintf(requests_fd, "request %s %s %s\n", method, path, body);
  const char *wrong = perform(method, path, body);
  if (wrong) {
    snprintf(answer, sizeof answer, "{\"fault_message\":\"double: %s\"}", wrong);
    return reply(fd, "400 Bad Request", answer);
  }
  reply(fd, "204 No Content", "");
  if (strstr(body, "SendCtrlAltDel")) exit(0);
}

/* Whether it has answered all there is to say; who watches the ports is told of none, and stays. */
static bool ask_agent(int fd, const char *request) {
  if (strncmp(request, "GET /ports?watch=1 ", 19) == 0) {
    dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"ports\":[]}\n");
    return false;
  }
  if (strncmp(request, "GET /healthz ", 13) == 0)
    reply(fd, "200 OK", "{\"status\":\"ok\",\"agent\":\"double\",\"uptimeMs\":1,\"bootId\":\"double\"}");
  else
    reply(fd, "404 Not Found", "{\"error\":{\"code\":\"not_found\",\"message\":\"a double has nothing else\"}}");
  return true;
}

/* One request for each connection. */
static void serve_client(struct client *client) {
  char *body = read_client(client);
  if (!body) return;
  client->have = 0;
  bool done = true;
  if (client->to_agent) done = ask_agent(client->fd, client->sent);
  else perform_request(client->fd, client->sent, body);
  if (done) drop(client);
}

static void accept_client(int listener, bool to_agent) {
  struct client *client = clients;
  while (client < clients + CLIENTS_MAX && client->fd >= 0) client++;
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0 && client == clients + CLIENTS_MAX) close(fd);
  else if (fd >= 0) *client = (struct client){.fd = fd, .to_agent = to_agent};
}

static int firecracker(char **argv) {
  const char *own_id = option(argv, "--id"), *api = option(argv, "--api-sock"), *log = option(argv, "--log-path");
  if (!own_id || !api || !log) return 1;
  snprintf(id, sizeof id, "%s", own_id);
  requests_fd = open(log, O_WRONLY | O_APPEND | O_CLOEXEC);
  int api_fd = listen_at(api);
  if (requests_fd < 0 || api_fd < 0) return 1;
  signal(SIGPIPE, SIG_IGN);
  guest.tap = -1;
  for (size_t n = 0; n < CLIENTS_MAX; n++) clients[n].fd = -1;
  for (;;) {
    /* poll(2) passes over descriptors below zero. */
    struct pollfd ready[3 + CLIENTS_MAX] = {{api_fd, POLLIN, 0}, {vsock_fd, POLLIN, 0}, {guest.tap, POLLIN, 0}};
    for (size_t n = 0; n < CLIENTS_MAX; n++) ready[3 + n] = (struct pollfd){clients[n].fd, POLLIN, 0};
    if (poll(ready, sizeof ready / sizeof *ready, -1) < 0 && errno != EINTR) return 1;
    for (size_t n = 0; n < CLIENTS_MAX; n++)
      if (ready[3 + n].revents) serve_client(clients + n);
    if (ready[0].revents) accept_client(api_fd, false);
    if (ready[1].revents) accept_client(vsock_fd, true);
    if (ready[2].revents) guest_answer(&guest);
  }
}

int main(int argc, char **argv) {
  if (argc > 0 && strcmp(argv[0], "/firecracker") == 0) return firecracker(argv);
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    const char *name = strrchr(argv[0], '/');
    printf("%s v" VERSION "\n", strcmp(name ? name + 1 : argv[0], "jailer") == 0 ? "Jailer" : "Firecracker");
    return 0;
  }
  return jailer(argv);
}

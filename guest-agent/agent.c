/* The agent's life: finds what carries its streams, and turns the event loop. */
#define _GNU_SOURCE
#include "agent.h"

#include "exec.h"
#include "health.h"
#include "http.h"
#include "loop.h"
#include "mux.h"
#include "socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT_NAME "banger.agent"
#define VSOCK_PORT 1024
/* The port's name comes some milliseconds after its device; a machine that has none by then has none at all. */
#define LOOK_OFTEN_FOR_MS 3000
#define LOOK_OFTEN_MS 2
#define LOOK_SELDOM_MS 1000
#define VSOCK_AFTER_MS 20
/* Rounds of pumping and sending without a look at what came in. */
#define BURST_MAX 16

static struct source link_listener = {.fd = -1};
static const char *port_path; /* NULL: look for PORT_NAME */
static bool wants_port, has_vsock;
static int64_t looking_since_ms;

/* Writes the device of the port that is named PORT_NAME. */
static bool find_port(char *path, size_t size) {
  bool found = false;
  DIR *ports = opendir("/sys/class/virtio-ports");
  struct dirent *entry;
  while (ports && !found && (entry = readdir(ports))) {
    char name_path[320], name[64] = "";
    snprintf(name_path, sizeof name_path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    int fd = open(name_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ssize_t length = read(fd, name, sizeof name - 1);
    close(fd);
    if (length <= 0) continue;
    name[strcspn(name, "\n")] = 0;
    found = strcmp(name, PORT_NAME) == 0;
    if (found) snprintf(path, size, "/dev/%s", entry->d_name);
  }
  if (ports) closedir(ports);
  return found;
}

static void look_for_port(void) {
  char path[300];
  if (!wants_port || mux_fd() >= 0) return;
  if (port_path) snprintf(path, sizeof path, "%s", port_path);
  if (port_path || find_port(path, sizeof path)) {
    int fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && mux_open(fd) == 0) return;
    if (fd >= 0) close(fd);
  }
  if (!has_vsock && !port_path && now_ms() - looking_since_ms >= VSOCK_AFTER_MS) {
    int fd = socket_listen_vsock(VSOCK_PORT);
    has_vsock = fd >= 0;
    if (has_vsock) sockets_serve(fd);
  }
}

/* For tests on the host: the newest connection is the link. */
static void accept_link(void) {
  if (!link_listener.ready) return;
  int fd = accept4(link_listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  mux_close();
  if (mux_open(fd) < 0) close(fd);
}

static void watch_all(void) {
  children_watch();
  health_watch();
  mux_watch();
  sockets_watch();
  execs_watch();
  if (link_listener.fd >= 0) loop_want(&link_listener, POLLIN);
  if (!wants_port || mux_fd() >= 0) {
    looking_since_ms = now_ms();
    return;
  }
  bool often = now_ms() - looking_since_ms < LOOK_OFTEN_FOR_MS;
  loop_until(now_ms() + (often ? LOOK_OFTEN_MS : LOOK_SELDOM_MS));
}

static _Noreturn void serve(bool link_closes) {
  for (;;) {
    int moved = 1;
    for (int burst = 0; moved && burst < BURST_MAX; burst++) {
      mux_pump();
      sockets_pump();
      execs_pump();
      moved = mux_write();
      moved = sockets_write() || moved;
    }
    loop_begin();
    if (moved) loop_until(0);
    watch_all();
    loop_wait();
    children_check();
    health_check();
    look_for_port();
    accept_link();
    mux_read(link_closes);
    sockets_read();
  }
}

/* The agent outlives what ends other processes: only the machine's end is its own. */
#define AGENT_NICENESS (-15)

static int prepare(bool in_guest) {
  static const int ignored[] = {SIGTERM, SIGHUP, SIGINT, SIGPIPE};
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
    if (in_guest || ignored[i] == SIGPIPE) signal(ignored[i], SIG_IGN);
  umask(022);
  looking_since_ms = now_ms();
  return children_start();
}

int agent_serve_guest(int notices) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (write(fd, "-1000", 5) < 0) perror("banger-agent: oom_score_adj");
    close(fd);
  }
  /* Readiness and commands wait for it, and it does little: a busy boot must not keep it from its turn. */
  if (setpriority(PRIO_PROCESS, 0, AGENT_NICENESS) < 0) perror("banger-agent: niceness");
  http_in_guest = true;
  health_begin(notices);
  wants_port = true;
  if (prepare(true) < 0) {
    perror("banger-agent");
    return 1;
  }
  serve(false);
}

static int usage(void) {
  fprintf(stderr,
          "usage: banger-agent MODE\n"
          "  --unix PATH      each connection is one HTTP exchange\n"
          "  --vsock PORT     the same\n"
          "  --port PATH      many exchanges over the virtio-serial port PATH\n"
          "  --mux-unix PATH  the same over the newest connection\n");
  return 2;
}

int agent_main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) return puts(AGENT_VERSION) < 0;
  if (argc != 3) return usage();
  const char *mode = argv[1], *value = argv[2];
  int fd = -1, served = 0;
  health_begin(-1);
  if (prepare(false) < 0) served = -1;
  else if (strcmp(mode, "--unix") == 0) fd = served = socket_listen_unix(value);
  else if (strcmp(mode, "--vsock") == 0) fd = served = socket_listen_vsock(atoi(value));
  else if (strcmp(mode, "--mux-unix") == 0) link_listener.fd = served = socket_listen_unix(value);
  else if (strcmp(mode, "--port") == 0) port_path = value;
  else return usage();
  if (served < 0) {
    fprintf(stderr, "banger-agent: %s %s: %s\n", mode, value, strerror(errno));
    return 1;
  }
  if (fd >= 0) sockets_serve(fd);
  wants_port = port_path != NULL;
  serve(!wants_port);
}

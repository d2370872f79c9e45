/* GET /healthz: the guest's versions and times, once or again each time something changes, and how far its init has come. */
#define _GNU_SOURCE
#include "health.h"

#include "agent.h"
#include "http.h"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Whoever watches hears from the guest at least so often: its time is compared with the host's. */
#define TELL_EVERY_MS 10000
/* An init that does not say when it is up is known by its program, which is looked for so often. */
#define LOOK_EVERY_MS 200
/* Who disciplines the clock in the guest moves it by less; what moves it by more has set it. */
#define CLOCK_SET_MS 500
#define BODY_MAX 512
/* A century. */
#define CLOCK_STEP_MAX_MS 3153600000000LL

static struct source notices = {.fd = -1};
static bool told_ready, will_tell;
/* What the clock showed when the guest's time since boot was zero, as it booted or as the host last set it. */
static int64_t clock_base_ms;

int health_listen(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  static const char name[] = HEALTH_NOTIFY_SOCKET;
  memcpy(address.sun_path, name, sizeof name - 1);
  address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0 &&
      bind(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + sizeof name - 1) == 0)
    return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static int64_t clock_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t clock_base(void) {
  return clock_ms(CLOCK_REALTIME) - clock_ms(CLOCK_BOOTTIME);
}

void health_begin(int fd) {
  notices = (struct source){.fd = fd};
  clock_base_ms = clock_base();
}

/* Anybody in the guest can write to the socket; only the first process is believed. */
static bool from_init(const struct msghdr *message) {
  struct cmsghdr *part = CMSG_FIRSTHDR(message);
  struct ucred sender;
  if (!part || part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_CREDENTIALS) return false;
  memcpy(&sender, CMSG_DATA(part), sizeof sender);
  return sender.pid == 1;
}

void health_check(void) {
  char text[2048], control[CMSG_SPACE(sizeof(struct ucred))];
  while (notices.ready) {
    struct iovec into = {text, sizeof text - 1};
    struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(notices.fd, &message, MSG_CMSG_CLOEXEC);
    if (length < 0) break;
    text[length] = 0;
    bool ready = strncmp(text, "READY=1", 7) == 0 || strstr(text, "\nREADY=1");
    if (ready && from_init(&message)) told_ready = true;
  }
  notices.ready = 0;
}

void health_watch(void) {
  loop_want(&notices, POLLIN);
}

/* Whether the first process still is this program, or the script that installs an image's init. */
static bool before_init(const char *first) {
  char own[256], line[256];
  ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
  own[length < 0 ? 0 : length] = 0;
  if (strcmp(first, own) == 0) return true;
  int fd = open("/proc/1/cmdline", O_RDONLY | O_CLOEXEC);
  length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
  if (fd >= 0) close(fd);
  for (ssize_t i = 0; i < length; i++)
    if (line[i] == 0) line[i] = ' ';
  line[length < 0 ? 0 : length] = 0;
  return strstr(line, "first-boot") != NULL;
}

enum init_state { UNSAID, STARTING, UP };

/* systemd says when its start is finished; of other inits nobody knows. */
static enum init_state init_state(void) {
  char first[256];
  if (told_ready) return UP;
  if (!http_in_guest) return UNSAID;
  ssize_t length = readlink("/proc/1/exe", first, sizeof first - 1);
  first[length < 0 ? 0 : length] = 0;
  const char *name = strrchr(first, '/');
  will_tell = name && strcmp(name, "/systemd") == 0;
  return will_tell || before_init(first) ? STARTING : UNSAID;
}

static size_t write_health(char body[BODY_MAX], enum init_state init) {
  static const char *const names[] = {[UNSAID] = "unsaid", [STARTING] = "starting", [UP] = "up"};
  char boot_id[64] = "";
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, boot_id, sizeof boot_id - 1);
  if (fd >= 0) close(fd);
  boot_id[length < 0 ? 0 : length] = 0;
  boot_id[strcspn(boot_id, "\n")] = 0;
  return snprintf(body, BODY_MAX,
                  "{\"status\":\"ok\",\"agent\":\"%s\",\"uptimeMs\":%lld,\"bootId\":\"%s\",\"unixMs\":%lld,"
                  "\"ownClock\":%s,\"init\":\"%s\"}",
                  AGENT_VERSION, (long long)now_ms(), boot_id, (long long)clock_ms(CLOCK_REALTIME),
                  llabs(clock_base() - clock_base_ms) >= CLOCK_SET_MS ? "true" : "false", names[init]);
}

struct watcher {
  enum init_state told;
  int64_t again_ms; /* 0: nothing was told yet */
};

static void pump_health(struct stream *stream) {
  struct watcher *watcher = stream->state;
  enum init_state init = init_state();
  char body[BODY_MAX], chunk[BODY_MAX + 32];
  if (stream->in_eof && buffer_room(&stream->out) >= 5) {
    free(watcher);
    buffer_put(&stream->out, "0\r\n\r\n", 5);
    stream_finish(stream);
    return;
  }
  if (init == watcher->told && now_ms() < watcher->again_ms) return;
  if (buffer_room(&stream->out) < sizeof chunk) return;
  size_t length = write_health(body, init);
  buffer_put(&stream->out, chunk, snprintf(chunk, sizeof chunk, "%zx\r\n%s\n\r\n", length + 1, body));
  watcher->told = init;
  watcher->again_ms = now_ms() + TELL_EVERY_MS;
}

static void watch_health(struct stream *stream) {
  struct watcher *watcher = stream->state;
  loop_until(watcher->told == STARTING && !will_tell ? now_ms() + LOOK_EVERY_MS : watcher->again_ms);
}

static void drop_health(struct stream *stream) {
  free(stream->state);
}

static const struct service health_service = {.pump = pump_health, .watch = watch_health, .drop = drop_health};

void health_start(struct stream *stream, const struct request *request) {
  char value[8], body[BODY_MAX];
  if (!http_query(request, "watch", value, sizeof value) || strcmp(value, "1") != 0) {
    write_health(body, init_state());
    http_reply(stream, "200 OK", body);
    return;
  }
  struct watcher *watcher = calloc(1, sizeof *watcher);
  if (!watcher) {
    http_fail(stream, "503 Service Unavailable", "no_resources", "the agent is out of memory");
    return;
  }
  http_begin_chunks(stream, "application/x-ndjson");
  stream->state = watcher;
  stream->service = &health_service;
}

/* POST /clock?add=MS: the time that the guest missed while its machine stood still. From now on the clock is the host's. */
void health_set_clock(struct stream *stream, const struct request *request) {
  char value[24], *end = value;
  long long add_ms = 0;
  if (http_query(request, "add", value, sizeof value)) add_ms = strtoll(value, &end, 10);
  if (end == value || *end || add_ms > CLOCK_STEP_MAX_MS || add_ms < -CLOCK_STEP_MAX_MS) {
    http_fail(stream, "400 Bad Request", "bad_request", "add is not a number of milliseconds");
    return;
  }
  if (!http_in_guest) {
    http_fail(stream, "409 Conflict", "not_a_guest", "the agent does not run in a virtual machine");
    return;
  }
  int64_t wanted = clock_ms(CLOCK_REALTIME) + add_ms;
  struct timespec time = {.tv_sec = wanted / 1000, .tv_nsec = wanted % 1000 * 1000000};
  if (clock_settime(CLOCK_REALTIME, &time) < 0) {
    http_fail(stream, "500 Internal Server Error", "clock", strerror(errno));
    return;
  }
  clock_base_ms = clock_base();
  http_reply(stream, "200 OK", "{}");
}

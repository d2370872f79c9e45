/* Waits for the guest, the host's sockets, the daemon and the clock, in turn, until it is told to end. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

#include "net.h"

enum { LOOK_AT_DIRECTORY_MS = 10000 };

struct counts counts;
Slirp *slirp;
uint8_t guest_mac[6];

static struct pollfd watched[DESCRIPTORS_MOST + 64];
static int watched_count;
static int64_t wait_ms;

_Noreturn void fail(const char *what) {
  fprintf(stderr, "banger-net: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now_ns(void *unused) {
  (void)unused;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t now_ms(void) { return now_ns(NULL) / 1000000; }

int watch(int fd, short events) {
  if (watched_count == (int)(sizeof watched / sizeof *watched)) return -1;
  watched[watched_count] = (struct pollfd){fd, events, 0};
  return watched_count++;
}

short seen_events(int place) { return place < 0 || place >= watched_count ? 0 : watched[place].revents; }

void wake_within(int64_t ms) {
  if (ms < wait_ms) wait_ms = ms < 0 ? 0 : ms;
}

/* libslirp's side */

static ssize_t from_slirp(const void *frame, size_t length, void *unused) {
  (void)unused;
  const uint8_t *bytes = frame;
  if (length >= ETHERNET + IP_HEADER && get16(bytes + 12) == ETHERTYPE_IPV4)
    tcp_to_guest(bytes + ETHERNET, length - ETHERNET);
  to_guest(frame, length);
  return (ssize_t)length;
}

static void guest_error(const char *text, void *unused) { (void)text, (void)unused, counts.malformed++; }
/* Timers are for IPv6 only. */
static void *timer_new(void (*callback)(void *), void *a, void *b) { return (void)callback, (void)a, (void)b, NULL; }
static void timer_free(void *timer, void *unused) { (void)timer, (void)unused; }
static void timer_mod(void *timer, int64_t at, void *unused) { (void)timer, (void)at, (void)unused; }
static void registered(int fd, void *unused) { (void)fd, (void)unused; }
static void notified(void *unused) { (void)unused; }

static int slirp_fds[DESCRIPTORS_MOST + 64];

static int add_poll(int fd, int events, void *unused) {
  (void)unused;
  int wanted = tcp_events(fd, events);
  short each = (short)((wanted & SLIRP_POLL_IN ? POLLIN : 0) | (wanted & SLIRP_POLL_OUT ? POLLOUT : 0) |
                       (wanted & SLIRP_POLL_PRI ? POLLPRI : 0));
  int place = watch(fd, each);
  if (place >= 0) slirp_fds[place] = fd;
  return place;
}

static int get_revents(int place, void *unused) {
  (void)unused;
  if (place < 0) return 0;
  short seen = seen_events(place);
  int events = (seen & POLLIN ? SLIRP_POLL_IN : 0) | (seen & POLLOUT ? SLIRP_POLL_OUT : 0) |
               (seen & POLLPRI ? SLIRP_POLL_PRI : 0) | (seen & POLLERR ? SLIRP_POLL_ERR : 0) |
               (seen & POLLHUP ? SLIRP_POLL_HUP : 0);
  return tcp_revents(slirp_fds[place], events);
}

static void start_slirp(void) {
  const struct slirp_config config = {
      .version = SLIRP_CONFIG_VERSION,
      .in_enabled = true,
      .network.s_addr = htonl(GUEST_NETWORK),
      .mask.s_addr = htonl(GUEST_MASK),
      .host.s_addr = htonl(GATEWAY),
      .dhcp_start.s_addr = htonl(GUEST),
      .nameserver.s_addr = htonl(NAMESERVER),
      .mtu = MTU,
      .mru = MTU,
      .disable_dns = true,
  };
  static const struct slirp_callbacks callbacks = {
      .send_packet = from_slirp,
      .guest_error = guest_error,
      .clock_get_ns = now_ns,
      .timer_new = timer_new,
      .timer_free = timer_free,
      .timer_mod = timer_mod,
      .register_poll_fd = registered,
      .unregister_poll_fd = registered,
      .notify = notified,
  };
  slirp = slirp_new(&config, &callbacks, NULL);
  if (slirp == NULL) fail("slirp_new");
}

/* Nobody finds a process whose directory is gone: it was deleted with its VM's home. */
static void end_without_directory(int directory) {
  static int64_t looked_at;
  struct stat found;
  int64_t now = now_ms();
  if (now - looked_at < LOOK_AT_DIRECTORY_MS) return;
  looked_at = now;
  if (syscall(SYS_fstat, directory, &found) == 0 && found.st_nlink == 0) exit(0);
}

static void turn(void) {
  wait_ms = LOOK_AT_DIRECTORY_MS;
  watched_count = 0;
  qemu_flush();
  qemu_watch();
  control_watch();
  dns_watch();
  udp_watch();
  uint32_t slirp_ms = UINT32_MAX;
  slirp_pollfds_fill(slirp, &slirp_ms, add_poll, NULL);
  if (slirp_ms < LOOK_AT_DIRECTORY_MS) wake_within(slirp_ms);
  int found = poll(watched, (nfds_t)watched_count, (int)wait_ms);
  if (found < 0 && errno != EINTR) fail("poll");
  slirp_pollfds_poll(slirp, found < 0, get_revents, NULL);
  /* Also when nothing came: questions are given up in time. */
  dns_read();
  if (found > 0) {
    udp_read();
    control_read();
    qemu_read();
  }
  tcp_reap();
}

static void take_mac(const char *text) {
  unsigned part[6];
  char end;
  if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", part, part + 1, part + 2, part + 3, part + 4, part + 5, &end) != 6) {
    errno = EINVAL;
    fail("--mac");
  }
  for (int i = 0; i < 6; i++) guest_mac[i] = (uint8_t)part[i];
}

int main(int count, char **words) {
  /* `--guest NAME` is for whoever looks for this process. */
  if (count != 5 || strcmp(words[1], "--guest") != 0 || strcmp(words[3], "--mac") != 0) {
    fprintf(stderr, "usage: banger-net --guest NAME --mac MAC\n");
    return 64;
  }
  take_mac(words[4]);
  /*
   * libslirp takes two times 128 KiB for a connection, and 32 for a packet: mapped each by itself, only what is touched
   * of them counts, and a buffer that grows is not copied.
   */
  mallopt(M_MMAP_THRESHOLD, 16384);
  signal(SIGPIPE, SIG_IGN);
  int directory = open(".", O_PATH | O_CLOEXEC);
  if (directory < 0) fail("the working directory");
  limit();
  routes_open();
  peers_open();
  start_slirp();
  tcp_prove();
  qemu_open();
  control_open();
  has_landlock = confine();
  for (;;) {
    turn();
    end_without_directory(directory);
  }
}

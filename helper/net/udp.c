/*
 * UDP and ping of the guest's: for each place that it speaks to a connected socket, so that nobody else is heard on it.
 * The one that was not used for longest gives way.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net.h"

enum { QUIET_MS = 180000, PING_QUIET_MS = 20000, LOOK_MS = 5000, AT_ONCE = 16, ICMP_HEADER = 8 };
enum { MOST = MTU - IP_HEADER };

static struct flow {
  bool used;
  int fd, place;
  enum proto proto;
  uint32_t to;
  /* Of a ping, its number; the host's kernel has another one for it. */
  uint16_t guest_port, port;
  int64_t used_at;
} flows[UDP_MOST];

static void done(struct flow *flow) {
  syscall(SYS_close, flow->fd);
  flow->used = false;
}

int udp_count(void) {
  int count = 0;
  for (int i = 0; i < UDP_MOST; i++) count += flows[i].used;
  return count;
}

static struct flow *find(enum proto proto, uint16_t guest_port, uint32_t to, uint16_t port) {
  for (int i = 0; i < UDP_MOST; i++) {
    struct flow *flow = &flows[i];
    if (flow->used && flow->guest_port == guest_port && flow->to == to && flow->port == port && flow->proto == proto)
      return flow;
  }
  return NULL;
}

static struct flow *free_place(void) {
  struct flow *oldest = &flows[0];
  for (int i = 0; i < UDP_MOST; i++) {
    if (!flows[i].used) return &flows[i];
    if (flows[i].used_at < oldest->used_at) oldest = &flows[i];
  }
  counts.evicted++;
  done(oldest);
  return oldest;
}

static struct flow *open_flow(enum proto proto, uint16_t guest_port, uint32_t to, uint16_t port) {
  struct flow *flow = free_place();
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  name.sin_addr.s_addr = htonl(to == GATEWAY ? LOOPBACK : to);
  int protocol = proto == ICMP ? IPPROTO_ICMP : 0;
  int fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) return NULL;
  if (syscall(SYS_connect, fd, &name, sizeof name) < 0) return syscall(SYS_close, fd), NULL;
  *flow = (struct flow){.used = true, .fd = fd, .place = -1, .proto = proto, .to = to};
  flow->guest_port = guest_port, flow->port = port;
  return flow;
}

void udp_out(const uint8_t *ip, size_t length) {
  const uint8_t *body = ip + IP_HEADER;
  enum proto proto = ip[9] == IPPROTO_UDP ? UDP : ICMP;
  uint32_t to = get32(ip + 16);
  uint16_t guest_port = proto == UDP ? get16(body) : get16(body + 4), port = proto == UDP ? get16(body + 2) : 0;
  size_t header = proto == UDP ? UDP_HEADER : 0;
  struct flow *flow = find(proto, guest_port, to, port);
  if (flow == NULL) {
    struct verdict verdict = judge(proto, to, port);
    tell(proto, to, port, verdict.name, verdict);
    if (!verdict.allow) return refuse(ip, length);
    flow = open_flow(proto, guest_port, to, port);
    if (flow == NULL) return send_unreachable(ip, 1);
  }
  flow->used_at = now_ms();
  syscall(SYS_sendto, flow->fd, body + header, length - IP_HEADER - header, MSG_NOSIGNAL, NULL, 0);
}

void udp_watch(void) {
  int64_t now = now_ms();
  for (int i = 0; i < UDP_MOST; i++) {
    struct flow *flow = &flows[i];
    if (!flow->used) continue;
    if (now - flow->used_at > (flow->proto == UDP ? QUIET_MS : PING_QUIET_MS)) {
      done(flow);
      continue;
    }
    flow->place = watch(flow->fd, POLLIN);
    wake_within(LOOK_MS);
  }
}

/* What the guest had sent, as far as an error about it must quote it. */
static void tell_unreachable(const struct flow *flow) {
  uint8_t frame[ETHERNET + IP_HEADER + UDP_HEADER] = {0};
  uint8_t *udp = frame + ETHERNET + IP_HEADER;
  put16(udp, flow->guest_port), put16(udp + 2, flow->port), put16(udp + 4, UDP_HEADER);
  build_ip(frame, IPPROTO_UDP, GUEST, flow->to, UDP_HEADER);
  send_unreachable(frame + ETHERNET, errno == ECONNREFUSED ? 3 : 1);
}

static void take(struct flow *flow) {
  static uint8_t frame[FRAME_MAX];
  uint8_t *body = frame + ETHERNET + IP_HEADER;
  size_t header = flow->proto == UDP ? UDP_HEADER : 0;
  for (int i = 0; i < AT_ONCE; i++) {
    long got = syscall(SYS_recvfrom, flow->fd, body + header, MOST - header + 1, 0, NULL, NULL);
    if (got < 0 && errno != EAGAIN && errno != EINTR && flow->proto == UDP) tell_unreachable(flow);
    if (got < 0) return;
    flow->used_at = now_ms();
    if ((size_t)got > MOST - header) {
      counts.dropped++;
    } else if (flow->proto == UDP) {
      send_udp(frame, flow->to, flow->port, flow->guest_port, (size_t)got);
    } else if (got >= ICMP_HEADER && body[0] == 0) {
      put16(body + 4, flow->guest_port);
      send_ip(frame, IPPROTO_ICMP, flow->to, (size_t)got);
    }
  }
}

void udp_read(void) {
  for (int i = 0; i < UDP_MOST; i++)
    if (flows[i].used && flows[i].place >= 0 && seen_events(flows[i].place)) take(&flows[i]);
}

void udp_judge_again(void) {
  for (int i = 0; i < UDP_MOST; i++)
    if (flows[i].used && !judge(flows[i].proto, flows[i].to, flows[i].port).allow) done(&flows[i]);
}

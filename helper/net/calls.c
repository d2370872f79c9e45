/* The calls that libslirp makes to the host, which this program defines in libc's place: the last look at each. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "flows.h"

static int inbound;
static bool inbound_fd[DESCRIPTORS_MOST];
static bool proved;

int close(int fd) {
  if (fd >= 0 && fd < DESCRIPTORS_MOST && inbound_fd[fd]) inbound_fd[fd] = false, inbound--;
  flow_forget(fd);
  return (int)syscall(SYS_close, fd);
}

int socket(int family, int type, int protocol) {
  int fd = (int)syscall(SYS_socket, family, type | SOCK_CLOEXEC, protocol);
  if (fd < 0 || !opening.active) return fd;
  if (flow_begin(fd)) return fd;
  syscall(SYS_close, fd);
  errno = EMFILE;
  return -1;
}

/* The last look, at the address that libslirp really uses, after its translations. */
static bool may_connect(const struct flow *flow, const struct sockaddr *address) {
  const struct sockaddr_in *to = (const void *)address;
  if (flow == NULL || address->sa_family != AF_INET || ntohs(to->sin_port) != flow->port) return false;
  uint32_t found = ntohl(to->sin_addr.s_addr);
  if (flow->to == GATEWAY ? found != LOOPBACK : found != flow->to) return false;
  return judge(TCP, flow->to, flow->port).allow;
}

/*
 * Never refused at once: libslirp 4.7 answers that with the very buffer that it frees next, and with enough of them in
 * use frees it twice. It is told to wait, and then that the connection was reset.
 */
int connect(int fd, const struct sockaddr *address, socklen_t length) {
  struct flow *flow = flow_at(fd);
  bool may = may_connect(flow, address);
  proved = true;
  if (!may) counts.late_refused++;
  if (may && syscall(SYS_connect, fd, address, length) == 0) return 0;
  if (flow == NULL || (may && errno != ECONNREFUSED)) return -1;
  give_up(flow);
  errno = EINPROGRESS;
  return -1;
}

/* Nothing but TCP goes by libslirp. */
ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
  (void)fd, (void)bytes, (void)size, (void)flags, (void)address, (void)length;
  counts.late_refused++;
  errno = ECONNREFUSED;
  return -1;
}

int accept(int fd, struct sockaddr *address, socklen_t *length) {
  int got = (int)syscall(SYS_accept4, fd, address, length, SOCK_CLOEXEC);
  if (got < 0) return got;
  if (inbound < INBOUND_MOST && got < DESCRIPTORS_MOST && (!peers_own() || peer_may(got))) {
    inbound_fd[got] = true, inbound++;
    return got;
  }
  syscall(SYS_close, got);
  errno = ECONNABORTED;
  return -1;
}

/* Nothing is sent until the guest has said enough; libslirp keeps it meanwhile and comes with all of it again. */
ssize_t send(int fd, const void *bytes, size_t size, int flags) {
  struct flow *flow = flow_at(fd);
  if (flow != NULL && flow->inspection != NOTHING && size > 0) {
    char name[NAME_MOST + 1] = "";
    enum greeting greeting = flow->port == 443 ? tls_name(bytes, size, name) : http_name(bytes, size, name);
    bool more = greeting == GREETING_MORE && !(flags & MSG_OOB);
    if (more) flow->inspection = INCOMPLETE;
    else if (greeting == GREETING_NAME && name_agrees(name, flow->to, flow->port)) flow->inspection = NOTHING;
    else mismatch(flow, name);
    if (flow->inspection != NOTHING) return errno = EAGAIN, -1;
  }
  return syscall(SYS_sendto, fd, bytes, size, flags | MSG_NOSIGNAL, NULL, 0);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
  const struct flow *flow = flow_at(fd);
  if (flow != NULL && flow->given_up) return errno = ECONNRESET, -1;
  return syscall(SYS_recvfrom, fd, bytes, size, flags, NULL, NULL);
}

/* The guest's address is never without its MAC then: libslirp keeps nothing back for want of it. */
static void introduce_guest(void) {
  uint8_t frame[ETHERNET + 28] = {0}, *arp = frame + ETHERNET;
  memset(frame, 0xff, 6);
  memcpy(frame + 6, guest_mac, 6), put16(frame + 12, ETHERTYPE_ARPV4);
  put32(arp, 0x00010800), put16(arp + 4, 0x0604), put16(arp + 6, 1);
  memcpy(arp + 8, guest_mac, 6), put32(arp + 14, GUEST), put32(arp + 24, GUEST);
  slirp_input(slirp, frame, sizeof frame);
}

/* A first segment to a place that nobody may reach: libslirp has to come here with it, and then no further. */
void tcp_prove(void) {
  flows_clear();
  introduce_guest();
  uint8_t frame[ETHERNET + IP_HEADER + TCP_HEADER] = {0};
  uint8_t *tcp = frame + ETHERNET + IP_HEADER;
  put16(tcp, 1), put16(tcp + 2, 1), put32(tcp + 4, 1);
  tcp[12] = 0x50, tcp[13] = TCP_SYN;
  size_t length = build_ip(frame, IPPROTO_TCP, GUEST, LOOPBACK, TCP_HEADER);
  tcp_syn(frame, length, 1, LOOPBACK, 1, (struct verdict){.allow = true, .name = ""});
  if (!proved || counts.late_refused != 1 || !any_given_up) {
    errno = ENOTSUP;
    fail("this libslirp does not connect by way of the filter");
  }
  counts.late_refused = 0;
}

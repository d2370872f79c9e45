/* Who is at the other end of a connection on this host's loopback, as the kernel's table of sockets says. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net.h"

static int diagnosis = -1;
static bool known;
static uint32_t own_uid;

bool peers_known(void) { return known; }

/* A socket that nobody holds any more, or that is not found, is nobody's. */
static bool owner_of(const struct sockaddr_in *peer, const struct sockaddr_in *here, uint32_t *uid) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
  } question = {
      {sizeof question, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0},
      {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u},
  };
  static _Alignas(struct nlmsghdr) uint8_t answer[8192];
  const struct nlmsghdr *header = (const void *)answer;
  struct inet_diag_sockid *id = &question.body.id;
  id->idiag_sport = peer->sin_port, id->idiag_dport = here->sin_port;
  id->idiag_src[0] = peer->sin_addr.s_addr, id->idiag_dst[0] = here->sin_addr.s_addr;
  id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (syscall(SYS_sendto, diagnosis, &question, sizeof question, 0, NULL, 0) < 0) return false;
  long length = syscall(SYS_recvfrom, diagnosis, answer, sizeof answer, 0, NULL, NULL);
  if (length < (long)NLMSG_LENGTH(sizeof(struct inet_diag_msg)) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY) return false;
  const struct inet_diag_msg *found = NLMSG_DATA(header);
  *uid = found->idiag_uid;
  return found->idiag_inode != 0;
}

bool peer_may(int fd) {
  struct sockaddr_in peer, here;
  socklen_t peer_size = sizeof peer, here_size = sizeof here;
  uint32_t uid;
  if (!known) return true;
  if (getpeername(fd, (void *)&peer, &peer_size) < 0 || getsockname(fd, (void *)&here, &here_size) < 0) return false;
  return owner_of(&peer, &here, &uid) && (uid == own_uid || uid == 0);
}

/* A kernel without that table does not tell its absence from a socket's: a connection of our own does. */
void peers_open(void) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(LOOPBACK)};
  socklen_t size = sizeof here;
  own_uid = getuid();
  diagnosis = (int)syscall(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  int listening = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int client = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listening, (void *)&here, sizeof here) == 0 && listen(listening, 1) == 0 &&
      getsockname(listening, (void *)&here, &size) == 0 &&
      syscall(SYS_connect, client, &here, sizeof here) == 0) {
    int server = (int)syscall(SYS_accept4, listening, NULL, NULL, SOCK_CLOEXEC);
    known = true;
    known = diagnosis >= 0 && server >= 0 && peer_may(server);
    syscall(SYS_close, server);
  }
  syscall(SYS_close, client);
  syscall(SYS_close, listening);
}

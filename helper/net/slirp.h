/*
 * What is used of libslirp, as its header of version 4.7 declares it: the library comes with QEMU, the header only with a
 * package that brings all of glib's build tools. SlirpConfig says by its version how far it goes, and later libraries
 * keep to that.
 */
#ifndef BANGER_NET_SLIRP_H
#define BANGER_NET_SLIRP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Slirp Slirp;

enum {
  SLIRP_POLL_IN = 1 << 0,
  SLIRP_POLL_OUT = 1 << 1,
  SLIRP_POLL_PRI = 1 << 2,
  SLIRP_POLL_ERR = 1 << 3,
  SLIRP_POLL_HUP = 1 << 4,
};

struct slirp_callbacks {
  ssize_t (*send_packet)(const void *frame, size_t length, void *opaque);
  void (*guest_error)(const char *text, void *opaque);
  int64_t (*clock_get_ns)(void *opaque);
  void *(*timer_new)(void (*callback)(void *), void *callback_opaque, void *opaque);
  void (*timer_free)(void *timer, void *opaque);
  void (*timer_mod)(void *timer, int64_t expire_ms, void *opaque);
  void (*register_poll_fd)(int fd, void *opaque);
  void (*unregister_poll_fd)(int fd, void *opaque);
  void (*notify)(void *opaque);
  void (*init_completed)(Slirp *slirp, void *opaque);
  void *(*timer_new_opaque)(int id, void *callback_opaque, void *opaque);
};

enum { SLIRP_CONFIG_VERSION = 4 };

struct slirp_config {
  uint32_t version;
  int restricted;
  bool in_enabled;
  struct in_addr network, mask, host;
  bool in6_enabled;
  struct in6_addr prefix6;
  uint8_t prefix6_length;
  struct in6_addr host6;
  const char *hostname, *tftp_server_name, *tftp_path, *bootfile;
  struct in_addr dhcp_start, nameserver;
  struct in6_addr nameserver6;
  const char **dns_search;
  const char *domain_name;
  size_t mtu, mru;
  bool disable_host_loopback, enable_emu;
  struct sockaddr_in *outbound;
  struct sockaddr_in6 *outbound6;
  bool disable_dns, disable_dhcp;
};

Slirp *slirp_new(const struct slirp_config *config, const struct slirp_callbacks *callbacks, void *opaque);
void slirp_pollfds_fill(Slirp *slirp, uint32_t *timeout_ms, int (*add)(int fd, int events, void *), void *opaque);
void slirp_pollfds_poll(Slirp *slirp, int failed, int (*seen)(int index, void *), void *opaque);
void slirp_input(Slirp *slirp, const uint8_t *frame, int length);
int slirp_add_hostfwd(Slirp *slirp, int udp, struct in_addr host, int host_port, struct in_addr guest, int guest_port);
int slirp_remove_hostfwd(Slirp *slirp, int udp, struct in_addr host, int host_port);

#endif

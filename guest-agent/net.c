/* Gives the guest its network by plain ioctls: loopback, one static address, one default route. */
#define _GNU_SOURCE
#include "init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void put_address(struct sockaddr *to, uint32_t address) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};
  memcpy(to, &in, sizeof in);
}

static int interface_up(int sock, const char *name) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (ioctl(sock, SIOCGIFFLAGS, &request) < 0) return -1;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  return ioctl(sock, SIOCSIFFLAGS, &request);
}

static int interface_address(int sock, const char *name, uint32_t address, uint32_t mask) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  put_address(&request.ifr_addr, address);
  if (ioctl(sock, SIOCSIFADDR, &request) < 0) return -1;
  put_address(&request.ifr_netmask, mask);
  return ioctl(sock, SIOCSIFNETMASK, &request);
}

/* Splits "a.b.c.d/n"; both results are in network byte order. */
static int parse_cidr(const char *text, uint32_t *address, uint32_t *mask) {
  char host[INET_ADDRSTRLEN];
  const char *slash = strchr(text, '/');
  if (!slash || (size_t)(slash - text) >= sizeof host) return -1;
  memcpy(host, text, slash - text);
  host[slash - text] = 0;
  char *end;
  long bits = strtol(slash + 1, &end, 10);
  if (end == slash + 1 || *end || bits < 1 || bits > 32) return -1;
  struct in_addr parsed;
  if (inet_pton(AF_INET, host, &parsed) != 1) return -1;
  *address = parsed.s_addr;
  *mask = htonl(0xffffffffu << (32 - bits));
  return 0;
}

static void route_up(int sock, const char *gateway) {
  struct in_addr parsed;
  if (inet_pton(AF_INET, gateway, &parsed) != 1) {
    init_say(0, "banger.gw=%s is not an IPv4 address", gateway);
    return;
  }
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  put_address(&route.rt_gateway, parsed.s_addr);
  put_address(&route.rt_dst, INADDR_ANY);
  put_address(&route.rt_genmask, INADDR_ANY);
  if (ioctl(sock, SIOCADDRT, &route) < 0 && errno != EEXIST) init_say(errno, "cannot route through %s", gateway);
}

void net_up(const char *address, const char *gateway) {
  int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sock < 0) {
    init_say(errno, "cannot configure the network");
    return;
  }
  if (interface_up(sock, "lo") < 0) init_say(errno, "cannot bring lo up");
  uint32_t host = 0, mask = 0;
  if (address && parse_cidr(address, &host, &mask) < 0) {
    init_say(0, "banger.ip=%s is not an IPv4 address with prefix length", address);
  } else if (address) {
    if (interface_address(sock, "eth0", host, mask) < 0 || interface_up(sock, "eth0") < 0)
      init_say(errno, "cannot bring eth0 up with %s", address);
    else if (gateway)
      route_up(sock, gateway);
  }
  close(sock);
}

/* Ports on the VM's own loopback address of this host that lead to the guest. */
#include <arpa/inet.h>
#include <errno.h>

#include "net.h"

static struct {
  uint32_t address;
  uint16_t port, guest_port;
} forwards[FORWARDS_MOST];
static int count;

static int find(uint32_t address, uint16_t port) {
  for (int i = 0; i < count; i++)
    if (forwards[i].address == address && forwards[i].port == port) return i;
  return -1;
}

const char *forward_add(uint32_t address, uint16_t port, uint16_t guest_port) {
  struct in_addr host = {htonl(address)}, guest = {htonl(GUEST)};
  int known = find(address, port);
  if (address >> 24 != 127 || port == 0 || guest_port == 0) return "range";
  if (known >= 0) return forwards[known].guest_port == guest_port ? NULL : "in_use";
  if (count == FORWARDS_MOST) return "full";
  if (slirp_add_hostfwd(slirp, 0, host, port, guest, guest_port) < 0)
    return errno == EACCES || errno == EPERM ? "denied" : "in_use";
  forwards[count].address = address, forwards[count].port = port, forwards[count].guest_port = guest_port;
  count++;
  return NULL;
}

void forward_remove(uint32_t address, uint16_t port) {
  struct in_addr host = {htonl(address)};
  int known = find(address, port);
  if (known < 0) return;
  slirp_remove_hostfwd(slirp, 0, host, port);
  forwards[known] = forwards[--count];
}

void each_forward(void (*tell)(void *to, uint32_t address, uint16_t port, uint16_t guest_port), void *to) {
  for (int i = 0; i < count; i++) tell(to, forwards[i].address, forwards[i].port, forwards[i].guest_port);
}

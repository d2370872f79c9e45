/* Decides about an address, a port and a name by the table, after what no table opens. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rules.h"

static int routes = -1;

void routes_open(void) {
  routes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (routes < 0) fail("the kernel's routes");
}

enum route { ROUTE_OUT, ROUTE_OWN, ROUTE_NONE };

/*
 * Whose the address is, by the kernel's own routes, so that there is no list of addresses to keep fresh: what it would
 * deliver to itself is this host's, second addresses and whole ranges included.
 */
static enum route route_of(uint32_t address) {
  struct {
    struct nlmsghdr header;
    struct rtmsg route;
    struct rtattr attribute;
    uint32_t to;
  } question = {
      {sizeof question, RTM_GETROUTE, NLM_F_REQUEST, 0, 0},
      {.rtm_family = AF_INET, .rtm_dst_len = 32},
      {8, RTA_DST},
      htonl(address),
  };
  static _Alignas(struct nlmsghdr) uint8_t answer[4096];
  const struct nlmsghdr *header = (const void *)answer;
  if (syscall(SYS_sendto, routes, &question, sizeof question, 0, NULL, 0) < 0) return ROUTE_NONE;
  if (syscall(SYS_recvfrom, routes, answer, sizeof answer, 0, NULL, NULL) < (long)NLMSG_LENGTH(sizeof(struct rtmsg)))
    return ROUTE_NONE;
  if (header->nlmsg_type != RTM_NEWROUTE) return ROUTE_NONE;
  uint8_t type = ((const struct rtmsg *)NLMSG_DATA(header))->rtm_type;
  return type == RTN_UNICAST ? ROUTE_OUT : ROUTE_OWN;
}

static struct verdict floor_says(const char *id) {
  return (struct verdict){.why = WHY_FLOOR, .id = id_of(id), .name = ""};
}

static bool within(uint32_t address, uint32_t network, int bits) { return (address ^ network) >> (32 - bits) == 0; }

/* What no rule opens: true where the table is to be asked. */
static bool above_floor(uint32_t address, struct verdict *verdict) {
  const char *id = NULL;
  if (within(address, 0, 8) || within(address, 0x7f000000, 8)) id = "floor:loopback";
  else if (within(address, 0xe0000000, 4)) id = "floor:multicast";
  else if (within(address, 0xf0000000, 4)) id = "floor:reserved";
  else if ((address & GUEST_MASK) == GUEST_NETWORK) id = "floor:guest-network";
  if (id == NULL) {
    enum route route = route_of(address);
    if (route == ROUTE_OUT || (route == ROUTE_OWN && policy->own)) return true;
    id = route == ROUTE_OWN ? "floor:own-address" : "floor:no-route";
  }
  *verdict = floor_says(id);
  return false;
}

static bool matches_name(const char *pattern, const char *name) {
  if (strcmp(pattern, "*") == 0) return true;
  if (strncmp(pattern, "*.", 2) != 0) return strcmp(pattern, name) == 0;
  size_t length = strlen(name), below = strlen(pattern + 1);
  return length > below && strcmp(name + length - below, pattern + 1) == 0;
}

static bool matches_port(const struct rule *rule, enum proto proto, uint16_t port) {
  if (rule->proto != ANY && rule->proto != proto) return false;
  return proto == ICMP || (port >= rule->low && port <= rule->high);
}

/* The name, bound to the address, that the pattern matches; NULL: none. */
static const char *bound_match(const struct rule *rule, uint32_t address, const char *as) {
  if (as != NULL) return matches_name(rule->pattern, as) ? as : NULL;
  const char *name;
  for (int place = -1; (name = next_name(address, &place)) != NULL;)
    if (matches_name(rule->pattern, name)) return name;
  return NULL;
}

static struct verdict by_rule(const struct rule *rule, const char *name, enum proto proto, uint16_t port) {
  bool greets = proto == TCP && (port == 443 || port == 80);
  bool inspect = rule->allow && rule->pattern != NULL && !rule->raw && greets;
  return (struct verdict){rule->allow, inspect, WHY_RULE, rule->id, name};
}

static struct verdict by_default(const char *name) {
  return (struct verdict){policy->default_allow, false, WHY_DEFAULT, policy->default_id, name};
}

static struct verdict judge_host(enum proto proto, uint16_t port) {
  for (int i = 0; i < policy->opening_count; i++) {
    const struct opening *opening = &policy->openings[i];
    if ((opening->proto == ANY || opening->proto == proto) && proto != ICMP && opening->port == port)
      return (struct verdict){true, false, WHY_HOST, opening->id, ""};
  }
  return floor_says("floor:host");
}

static struct verdict no_policy(void) {
  return (struct verdict){.why = WHY_NO_POLICY, .id = id_of("floor:no-policy"), .name = ""};
}

struct verdict judge_as(enum proto proto, uint32_t address, uint16_t port, const char *as) {
  struct verdict verdict;
  if (policy == NULL) return no_policy();
  if (address == GATEWAY) return judge_host(proto, port);
  if (!above_floor(address, &verdict)) return verdict;
  int place = -1;
  const char *first = as == NULL ? next_name(address, &place) : as;
  if (first == NULL) first = "";
  for (int i = 0; i < policy->rule_count; i++) {
    const struct rule *rule = &policy->rules[i];
    if (!matches_port(rule, proto, port)) continue;
    if (rule->pattern == NULL && (address & rule->mask) == rule->network) return by_rule(rule, first, proto, port);
    const char *name = rule->pattern == NULL ? NULL : bound_match(rule, address, as);
    if (name != NULL) return by_rule(rule, name, proto, port);
  }
  return by_default(first);
}

struct verdict judge(enum proto proto, uint32_t address, uint16_t port) {
  return judge_as(proto, address, port, NULL);
}

struct verdict judge_name(const char *name) {
  if (policy == NULL) return no_policy();
  for (int i = 0; i < policy->rule_count; i++) {
    const struct rule *rule = &policy->rules[i];
    bool all = rule->proto == ANY && rule->low == 0 && rule->high == 65535;
    if (rule->pattern != NULL && (rule->allow || all) && matches_name(rule->pattern, name))
      return (struct verdict){rule->allow, false, WHY_RULE, rule->id, name};
  }
  return (struct verdict){!policy->listed, false, WHY_DEFAULT, policy->default_id, name};
}

struct verdict judge_unbound(enum proto proto, const char *name, uint16_t port) {
  if (policy == NULL) return no_policy();
  for (int i = 0; i < policy->rule_count; i++) {
    const struct rule *rule = &policy->rules[i];
    if (rule->pattern != NULL && matches_port(rule, proto, port) && matches_name(rule->pattern, name))
      return by_rule(rule, name, proto, port);
  }
  return by_default(name);
}

bool may_resolve_to(const char *name, uint32_t address) {
  struct verdict floor;
  if (policy == NULL) return false;
  /* A host that is offline for a moment makes no address suspicious. */
  if (!above_floor(address, &floor) && strcmp(id_text(floor.id), "floor:no-route") != 0) return false;
  for (int i = 0; i < policy->rule_count; i++) {
    const struct rule *rule = &policy->rules[i];
    bool all = rule->proto == ANY && rule->low == 0 && rule->high == 65535;
    bool matches = rule->pattern != NULL ? matches_name(rule->pattern, name)
                                         : (address & rule->mask) == rule->network;
    /* A denial of some ports leaves the others. */
    if (matches && (rule->allow || all)) return rule->allow;
  }
  return policy->default_allow;
}

bool name_agrees(const char *name, uint32_t address, uint16_t port) {
  const char *bound;
  for (int place = -1; (bound = next_name(address, &place)) != NULL;)
    if (strcmp(bound, name) == 0) return judge_as(TCP, address, port, name).allow;
  return false;
}

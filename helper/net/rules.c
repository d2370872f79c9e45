/* Reads a table of rules, line by line, and puts it in place of the one before: whole, or not at all. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

const struct policy *policy;
static struct policy tables[2];
/* The one under way, or NULL. */
static struct policy *next;

static const char syntax[] = "syntax", range[] = "range", full[] = "full";

static struct {
  char text[ID_MOST + 1];
  uint64_t allowed, denied;
} ids[IDS_MOST];
static int id_count;

const char *id_text(int id) { return ids[id].text; }

void count_verdict(int id, bool allow) {
  if (allow) ids[id].allowed++;
  else ids[id].denied++;
}

void each_counter(void (*tell)(void *to, const char *id, uint64_t allowed, uint64_t denied), void *to) {
  for (int i = 0; i < id_count; i++) tell(to, ids[i].text, ids[i].allowed, ids[i].denied);
}

static bool is_used(int id, const struct policy *table) {
  if (table == NULL) return false;
  if (table->has_default && table->default_id == id) return true;
  for (int i = 0; i < table->rule_count; i++)
    if (table->rules[i].id == id) return true;
  for (int i = 0; i < table->opening_count; i++)
    if (table->openings[i].id == id) return true;
  return false;
}

static bool is_word(const char *text, const char *also, size_t most) {
  size_t length = strlen(text);
  if (length == 0 || length > most) return false;
  for (const char *at = text; *at; at++) {
    bool letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
    if (!letter && strchr(also, *at) == NULL) return false;
  }
  return true;
}

/* Index of the id, or -1 when there is no room: one that no table has any more gives way. */
int id_of(const char *text) {
  for (int i = 0; i < id_count; i++)
    if (strcmp(ids[i].text, text) == 0) return i;
  int at = id_count;
  if (at == IDS_MOST) {
    for (at = 0; at < IDS_MOST; at++)
      if (strncmp(ids[at].text, "floor:", 6) != 0 && !is_used(at, policy) && !is_used(at, next)) break;
    if (at == IDS_MOST) return -1;
  } else {
    id_count++;
  }
  snprintf(ids[at].text, sizeof ids[at].text, "%s", text);
  ids[at].allowed = ids[at].denied = 0;
  return at;
}

static const char *take_id(const char *text, int *id) {
  if (!is_word(text, "@:._/*,+-", ID_MOST)) return syntax;
  *id = id_of(text);
  return *id < 0 ? full : NULL;
}

static bool number(const char *text, long most, uint16_t *value) {
  char *end;
  if (*text < '0' || *text > '9' || strlen(text) > 5) return false;
  long found = strtol(text, &end, 10);
  if (*end != 0 || found > most) return false;
  *value = (uint16_t)found;
  return true;
}

static bool take_action(const char *text, bool *allow) {
  *allow = strcmp(text, "allow") == 0;
  return *allow || strcmp(text, "deny") == 0;
}

static bool take_proto(const char *text, uint8_t *proto) {
  static const char *names[] = {"any", "tcp", "udp", "icmp"};
  for (uint8_t i = 0; i < 4; i++)
    if (strcmp(text, names[i]) == 0) return *proto = i, true;
  return false;
}

static bool take_ports(const char *text, struct rule *rule) {
  char low[8];
  const char *dash = strchr(text, '-');
  if (dash == NULL || (size_t)(dash - text) >= sizeof low) return false;
  memcpy(low, text, (size_t)(dash - text));
  low[dash - text] = 0;
  return number(low, 65535, &rule->low) && number(dash + 1, 65535, &rule->high) && rule->low <= rule->high;
}

static bool take_cidr(const char *text, struct rule *rule) {
  char address[INET_ADDRSTRLEN];
  const char *slash = strchr(text, '/');
  struct in_addr found;
  uint16_t bits;
  if (slash == NULL || (size_t)(slash - text) >= sizeof address || !number(slash + 1, 32, &bits)) return false;
  memcpy(address, text, (size_t)(slash - text));
  address[slash - text] = 0;
  if (inet_pton(AF_INET, address, &found) != 1) return false;
  rule->network = ntohl(found.s_addr);
  rule->mask = bits == 0 ? 0 : ~UINT32_C(0) << (32 - bits);
  return (rule->network & ~rule->mask) == 0;
}

/* A line about IPv6 is one about nothing: the guest has none. */
static bool is_ipv6_cidr(const char *text) {
  char address[INET6_ADDRSTRLEN];
  const char *slash = strchr(text, '/');
  struct in6_addr found;
  uint16_t bits;
  if (slash == NULL || (size_t)(slash - text) >= sizeof address || !number(slash + 1, 128, &bits)) return false;
  memcpy(address, text, (size_t)(slash - text));
  address[slash - text] = 0;
  return inet_pton(AF_INET6, address, &found) == 1;
}

static const char *take_pattern(const char *text, struct rule *rule) {
  char name[NAME_MOST + 1];
  const char *below = strncmp(text, "*.", 2) == 0 ? text + 2 : text;
  if (strcmp(text, "*") != 0 && (!clean_name(below, strlen(below), name) || strcmp(name, below) != 0)) return syntax;
  size_t bytes = strlen(text) + 1;
  if (next->pattern_bytes + bytes > PATTERN_BYTES) return full;
  rule->pattern = memcpy(next->patterns + next->pattern_bytes, text, bytes);
  next->pattern_bytes += bytes;
  return NULL;
}

/* rule allow|deny PROTO CIDR LO-HI ID; name allow|deny PROTO PATTERN LO-HI ID [raw] */
static const char *take_rule(char **words, int count, bool named) {
  struct rule rule = {0};
  if (count != 6 && !(named && count == 7 && strcmp(words[6], "raw") == 0)) return syntax;
  rule.raw = count == 7;
  if (!take_action(words[1], &rule.allow) || !take_proto(words[2], &rule.proto)) return syntax;
  if (!take_ports(words[4], &rule)) return range;
  if (!named && is_ipv6_cidr(words[3])) return NULL;
  if (!named && !take_cidr(words[3], &rule)) return range;
  if (next->rule_count == RULES_MOST) return full;
  const char *error = named ? take_pattern(words[3], &rule) : NULL;
  if (error == NULL) error = take_id(words[5], &rule.id);
  if (error == NULL) next->rules[next->rule_count++] = rule;
  return error;
}

/* host tcp|udp|any PORT ID */
static const char *take_opening(char **words, int count) {
  struct opening opening;
  if (count != 4 || !take_proto(words[1], &opening.proto) || opening.proto == ICMP) return syntax;
  if (!number(words[2], 65535, &opening.port) || opening.port == 0) return range;
  if (next->opening_count == OPENINGS_MOST) return full;
  const char *error = take_id(words[3], &opening.id);
  if (error == NULL) next->openings[next->opening_count++] = opening;
  return error;
}

/* resolver ADDR [PORT] */
static const char *take_resolver(char **words, int count) {
  struct sockaddr_in found = {.sin_family = AF_INET};
  uint16_t port = 53;
  if (count != 2 && count != 3) return syntax;
  if (inet_pton(AF_INET, words[1], &found.sin_addr) != 1) return range;
  if (count == 3 && (!number(words[2], 65535, &port) || port == 0)) return range;
  if (next->resolver_count == RESOLVERS_MOST) return full;
  found.sin_port = htons(port);
  next->resolvers[next->resolver_count++] = found;
  return NULL;
}

static const char *take_default(char **words, int count) {
  if (count != 3 || next->has_default || !take_action(words[1], &next->default_allow)) return syntax;
  const char *error = take_id(words[2], &next->default_id);
  next->has_default = error == NULL;
  return error;
}

static const char *take_names(char **words, int count) {
  if (count != 2 || next->has_names) return syntax;
  next->listed = strcmp(words[1], "listed") == 0;
  next->has_names = next->listed || strcmp(words[1], "open") == 0;
  return next->has_names ? NULL : syntax;
}

static const char *take_peers(const char *text) {
  next->peers_any = strcmp(text, "any") == 0;
  return next->peers_any || strcmp(text, "own") == 0 ? NULL : syntax;
}

const char *policy_line(char **words, int count) {
  if (strcmp(words[0], "rule") == 0) return take_rule(words, count, false);
  if (strcmp(words[0], "name") == 0) return take_rule(words, count, true);
  if (strcmp(words[0], "host") == 0) return take_opening(words, count);
  if (strcmp(words[0], "resolver") == 0) return take_resolver(words, count);
  if (strcmp(words[0], "default") == 0) return take_default(words, count);
  if (strcmp(words[0], "names") == 0) return take_names(words, count);
  if (strcmp(words[0], "own") == 0 && count == 2) return take_action(words[1], &next->own) ? NULL : syntax;
  if (strcmp(words[0], "peers") == 0 && count == 2) return take_peers(words[1]);
  return syntax;
}

bool policy_begin(const char *digest) {
  next = policy == &tables[0] ? &tables[1] : &tables[0];
  /* Not the patterns: nothing of them is read beyond what is written. */
  memset(next, 0, offsetof(struct policy, patterns));
  if (!is_word(digest, ":._-", DIGEST_MOST)) return false;
  strcpy(next->digest, digest);
  return true;
}

const char *policy_commit(void) {
  if (!next->has_default || !next->has_names) return syntax;
  policy = next;
  next = NULL;
  tcp_judge_again();
  udp_judge_again();
  return NULL;
}

const char *policy_digest(void) { return policy == NULL ? "none" : policy->digest; }
bool peers_own(void) { return policy == NULL || !policy->peers_any; }

int resolvers(const struct sockaddr_in **list) {
  if (policy == NULL) return 0;
  *list = policy->resolvers;
  return policy->resolver_count;
}

/* What was decided: a ring of lines for whoever follows, and one entry for each destination. Both are bounded. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net.h"

enum { BUCKETS = 1024, NONE = -1 };

uint64_t log_next = 1;
static struct entry {
  int64_t at;
  uint64_t seq;
  uint32_t address;
  uint16_t port;
  uint8_t proto, why;
  bool allow, first;
  int id;
  char name[NAME_MOST + 1];
} ring[LOG_MOST];

static struct destination {
  int64_t first_at, last_at;
  uint64_t times, order;
  int next;
  struct entry entry;
} destinations[DESTINATIONS_MOST];
static int count, heads[BUCKETS];
static uint64_t order;

const char *proto_text(enum proto proto) {
  static const char *const names[] = {"any", "tcp", "udp", "icmp", "dns"};
  return names[proto];
}

const char *why_text(enum why why) {
  static const char *const names[] = {"rule", "default", "host", "floor", "no-policy", "mismatch", "rebinding", "full"};
  return names[why];
}

static int64_t wall_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* A destination is a name where there is one: the addresses behind it change. */
static bool is_same(const struct entry *a, const struct entry *b) {
  return a->proto == b->proto && a->port == b->port && a->allow == b->allow && strcmp(a->name, b->name) == 0 &&
         (a->name[0] != 0 || a->address == b->address);
}

static int *head_of(const struct entry *entry) {
  uint32_t hash = entry->port * 31u + entry->proto * 7u + entry->allow;
  if (entry->name[0] == 0) hash ^= entry->address * 2654435761u;
  for (const char *at = entry->name; *at; at++) hash = hash * 33u ^ (uint8_t)*at;
  return &heads[(hash ^ hash >> 15) % BUCKETS];
}

/* Places are counted from 1 in the chains, so that they begin empty. */
static int place_for_new(void) {
  if (count < DESTINATIONS_MOST) return count++;
  int oldest = 0;
  for (int i = 1; i < DESTINATIONS_MOST; i++)
    if (destinations[i].order < destinations[oldest].order) oldest = i;
  int *link = head_of(&destinations[oldest].entry);
  while (*link != oldest + 1) link = &destinations[*link - 1].next;
  *link = destinations[oldest].next;
  return oldest;
}

/* True where this destination with this verdict is new. */
static bool remember(const struct entry *entry) {
  int *head = head_of(entry);
  for (int at = *head; at != 0; at = destinations[at - 1].next) {
    struct destination *known = &destinations[at - 1];
    if (!is_same(&known->entry, entry)) continue;
    known->last_at = entry->at, known->times++, known->order = ++order;
    known->entry.address = entry->address, known->entry.id = entry->id, known->entry.why = entry->why;
    return false;
  }
  int place = place_for_new();
  /* The place may have been this chain's first. */
  destinations[place] = (struct destination){entry->at, entry->at, 1, ++order, *head, *entry};
  *head = place + 1;
  return true;
}

void tell(enum proto proto, uint32_t address, uint16_t port, const char *name, struct verdict verdict) {
  count_verdict(verdict.id, verdict.allow);
  struct entry *entry = &ring[log_next % LOG_MOST];
  *entry = (struct entry){.at = wall_ms(), .seq = log_next, .address = address, .port = port};
  entry->proto = (uint8_t)proto, entry->why = (uint8_t)verdict.why;
  entry->allow = verdict.allow, entry->id = verdict.id;
  snprintf(entry->name, sizeof entry->name, "%s", name);
  entry->first = remember(entry);
  log_next++;
}

static int describe(const struct entry *entry, char *text, size_t size) {
  char address[INET_ADDRSTRLEN] = "-";
  struct in_addr in = {htonl(entry->address)};
  if (entry->proto != DNS) inet_ntop(AF_INET, &in, address, sizeof address);
  return snprintf(text, size, "%s %s %s %u %s %s %s", entry->allow ? "allow" : "deny", proto_text(entry->proto), address,
                  entry->port, entry->name[0] ? entry->name : "-", id_text(entry->id), why_text(entry->why));
}

bool log_line(uint64_t seq, char *text, size_t size) {
  const struct entry *entry = &ring[seq % LOG_MOST];
  if (entry->seq != seq) return false;
  int written = snprintf(text, size, "log %llu %lld %s ", (unsigned long long)seq, (long long)entry->at,
                         entry->first ? "first" : "again");
  describe(entry, text + written, size - (size_t)written);
  return true;
}

void each_destination(void (*tell_line)(void *to, const char *line), void *to) {
  char text[LINE_MOST + 1];
  for (int i = 0; i < count; i++) {
    const struct destination *known = &destinations[i];
    int written = snprintf(text, sizeof text, "destination %lld %lld %llu ", (long long)known->first_at,
                           (long long)known->last_at, (unsigned long long)known->times);
    describe(&known->entry, text + written, sizeof text - (size_t)written);
    tell_line(to, text);
  }
}

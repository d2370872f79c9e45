/* Which names an address was given for: what a name opens is the addresses that were answered for it, for a time. */
#include <stdlib.h>
#include <string.h>

#include "net.h"

enum { BUCKETS = 1024, NONE = -1, KEPT_MS = 300000 };

static struct {
  uint32_t address;
  int64_t until;
  int next;
  char name[NAME_MOST + 1];
} bindings[BINDINGS_MOST];
static int count;
static int heads[BUCKETS];
static bool ready;

static int *head_of(uint32_t address) {
  if (!ready) {
    for (int i = 0; i < BUCKETS; i++) heads[i] = NONE;
    ready = true;
  }
  return &heads[(address * 2654435761u >> 16) % BUCKETS];
}

static void unlink_binding(int at) {
  int *link = head_of(bindings[at].address);
  while (*link != at) link = &bindings[*link].next;
  *link = bindings[at].next;
}

/* A free place: a new one, that of the address's first to end where it has enough, or that of the first to end of all. */
static int place_for(uint32_t address) {
  int first = NONE, of_address = 0;
  for (int i = *head_of(address); i != NONE; i = bindings[i].next) {
    if (bindings[i].address != address) continue;
    of_address++;
    if (first == NONE || bindings[i].until < bindings[first].until) first = i;
  }
  if (of_address < BINDINGS_OF_ADDRESS && count < BINDINGS_MOST) return count++;
  if (of_address < BINDINGS_OF_ADDRESS) {
    first = 0;
    for (int i = 1; i < BINDINGS_MOST; i++)
      if (bindings[i].until < bindings[first].until) first = i;
  }
  unlink_binding(first);
  return first;
}

void bind_name(uint32_t address, const char *name, int64_t lasts_ms) {
  int64_t until = now_ms() + lasts_ms;
  for (int i = *head_of(address); i != NONE; i = bindings[i].next) {
    if (bindings[i].address != address || strcmp(bindings[i].name, name) != 0) continue;
    if (until > bindings[i].until) bindings[i].until = until;
    return;
  }
  int at = place_for(address);
  bindings[at].address = address;
  bindings[at].until = until;
  strcpy(bindings[at].name, name);
  int *head = head_of(address);
  bindings[at].next = *head;
  *head = at;
}

void keep_bound(uint32_t address) {
  int64_t now = now_ms();
  for (int i = *head_of(address); i != NONE; i = bindings[i].next)
    if (bindings[i].address == address && bindings[i].until > now && bindings[i].until < now + KEPT_MS)
      bindings[i].until = now + KEPT_MS;
}

const char *next_name(uint32_t address, int *place) {
  int64_t now = now_ms();
  int i = *place == NONE ? *head_of(address) : bindings[*place].next;
  for (; i != NONE; i = bindings[i].next) {
    if (bindings[i].address != address || bindings[i].until <= now) continue;
    *place = i;
    return bindings[i].name;
  }
  return NULL;
}

bool next_address(const char *name, int *place, uint32_t *address) {
  int64_t now = now_ms();
  for (int i = *place + 1; i < count; i++) {
    if (bindings[i].until <= now || strcmp(bindings[i].name, name) != 0) continue;
    *place = i;
    *address = bindings[i].address;
    return true;
  }
  return false;
}

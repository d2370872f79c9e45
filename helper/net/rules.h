/* The table that the daemon gave, as rules.c reads it and verdict.c decides by it. */
#ifndef BANGER_NET_RULES_H
#define BANGER_NET_RULES_H

#include "net.h"

struct rule {
  bool allow, raw;
  uint8_t proto;
  uint16_t low, high;
  int id;
  /* A name line has a pattern; else an address and its mask. */
  const char *pattern;
  uint32_t network, mask;
};

struct opening {
  uint8_t proto;
  uint16_t port;
  int id;
};

struct policy {
  char digest[DIGEST_MOST + 1];
  bool has_default, default_allow, has_names, listed, own, peers_any;
  int default_id;
  int rule_count, opening_count, resolver_count;
  struct rule rules[RULES_MOST];
  struct opening openings[OPENINGS_MOST];
  struct sockaddr_in resolvers[RESOLVERS_MOST];
  size_t pattern_bytes;
  char patterns[PATTERN_BYTES];
};

/* NULL as long as the daemon has given none: then nothing passes. */
extern const struct policy *policy;

#endif

/* Clients of the control socket, and what they are told. */
#ifndef BANGER_NET_CONTROL_H
#define BANGER_NET_CONTROL_H

#include "net.h"

struct client {
  int fd, place;
  char in[LINE_MOST + 1];
  size_t in_length;
  char *out;
  size_t out_length, out_at, out_room;
  bool broken, follows;
  uint64_t follow_at;
};

__attribute__((format(printf, 2, 3))) void say(struct client *client, const char *format, ...);
/* "ok", or what is wrong. */
void settle(struct client *client, const char *error);
bool take_number(const char *text, uint64_t most, uint64_t *value);
bool take_place(char **words, uint32_t *address, uint16_t *port);

void tell_status(struct client *client);
void tell_counters(struct client *client);
void tell_destinations(struct client *client);
void tell_forwards(struct client *client);
/* check PROTO HOST PORT, by the very code that decides. */
void check(struct client *client, char **words);

#endif

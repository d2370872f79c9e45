/* The connections of the guest's that libslirp has, as a bounded table. */
#ifndef BANGER_NET_FLOWS_H
#define BANGER_NET_FLOWS_H

#include "net.h"

enum { NO_FLOW = -1 };
enum state { CONNECTING, OPEN, CLOSING };
enum inspection { NOTHING, AWAITED, INCOMPLETE };

struct flow {
  /* NO_FLOW: the place is free. */
  int fd;
  int next;
  uint32_t to;
  uint16_t guest_port, port;
  enum state state;
  enum inspection inspection;
  bool given_up, guest_ended, host_ended;
  int64_t opened_at, used_at;
  /* What libslirp said last to the guest: where a reset from either side has to stand. */
  uint32_t sent_next, acknowledged;
};

/* The connection that libslirp is being shown the first segment of. */
struct opening {
  bool active;
  uint16_t guest_port, port;
  uint32_t to;
  struct verdict verdict;
};
extern struct opening opening;
extern bool any_given_up;

void flows_clear(void);
struct flow *flow_at(int fd);
/* The connection that is being opened, by its descriptor; false where there is no place for it. */
bool flow_begin(int fd);
void flow_forget(int fd);
/* It ends as soon as libslirp has its turn. */
void give_up(struct flow *flow);
/* It says that it wants another server than the one that it was allowed for. */
void mismatch(struct flow *flow, const char *name);

#endif

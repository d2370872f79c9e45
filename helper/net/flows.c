/* Connections of libslirp's: how many there may be, which gives way to another, and how each is ended. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "flows.h"

enum { BUCKETS = 1024, FLOWS = TCP_MOST + 32, GREETING_WITHIN_MS = 10000, KEEP_BOUND_MS = 60000 };

static struct flow flows[FLOWS];
static int heads[BUCKETS];
static int flow_of_fd[DESCRIPTORS_MOST];
bool any_given_up;
struct opening opening;

void flows_clear(void) {
  for (int i = 0; i < FLOWS; i++) flows[i].fd = NO_FLOW;
  for (int i = 0; i < BUCKETS; i++) heads[i] = NO_FLOW;
  for (int i = 0; i < DESCRIPTORS_MOST; i++) flow_of_fd[i] = NO_FLOW;
}

static int *head_of(uint16_t guest_port) { return &heads[guest_port % BUCKETS]; }

static struct flow *find(uint16_t guest_port, uint32_t to, uint16_t port) {
  for (int i = *head_of(guest_port); i != NO_FLOW; i = flows[i].next)
    if (flows[i].guest_port == guest_port && flows[i].to == to && flows[i].port == port) return &flows[i];
  return NULL;
}

struct flow *flow_at(int fd) {
  if (fd < 0 || fd >= DESCRIPTORS_MOST || flow_of_fd[fd] == NO_FLOW) return NULL;
  return &flows[flow_of_fd[fd]];
}

int tcp_count(void) {
  int count = 0;
  for (int i = 0; i < FLOWS; i++) count += flows[i].fd != NO_FLOW;
  return count;
}

static bool is_half_open(const struct flow *flow) {
  return flow->fd != NO_FLOW && flow->state == CONNECTING && !flow->given_up;
}

int tcp_half_open(void) {
  int count = 0;
  for (int i = 0; i < FLOWS; i++) count += is_half_open(&flows[i]);
  return count;
}

void give_up(struct flow *flow) { flow->given_up = any_given_up = true; }

/* Of the half-open ones, that of the destination which has most of them: a flood at one shuts out no other. */
static struct flow *oldest_half_open(void) {
  struct flow *all[FLOWS], *chosen = NULL;
  int count = 0, most = 0;
  for (int i = 0; i < FLOWS; i++)
    if (is_half_open(&flows[i])) all[count++] = &flows[i];
  for (int i = 0; i < count; i++) {
    int same = 0;
    for (int j = 0; j < count; j++) same += all[j]->to == all[i]->to;
    if (same < most || (same == most && all[i]->opened_at >= chosen->opened_at)) continue;
    chosen = all[i];
    most = same;
  }
  return chosen;
}

/* Those that only wait for their end first, then what was not used for longest. */
static struct flow *least_needed(void) {
  struct flow *chosen = NULL;
  for (int i = 0; i < FLOWS; i++) {
    struct flow *each = &flows[i];
    if (each->fd == NO_FLOW || each->given_up) continue;
    if (chosen == NULL || (each->state == CLOSING) > (chosen->state == CLOSING) ||
        ((each->state == CLOSING) == (chosen->state == CLOSING) && each->used_at < chosen->used_at))
      chosen = each;
  }
  return chosen;
}

static void make_room(void) {
  int count = 0;
  for (int i = 0; i < FLOWS; i++) count += flows[i].fd != NO_FLOW && !flows[i].given_up;
  struct flow *chosen = tcp_half_open() >= HALF_OPEN_MOST ? oldest_half_open() : count >= TCP_MOST ? least_needed() : NULL;
  if (chosen == NULL) return;
  counts.evicted++;
  give_up(chosen);
}

void tcp_syn(uint8_t *frame, size_t length, uint16_t guest_port, uint32_t to, uint16_t port, struct verdict verdict) {
  if (find(guest_port, to, port) == NULL) make_room();
  opening.active = true;
  opening.guest_port = guest_port, opening.port = port, opening.to = to, opening.verdict = verdict;
  slirp_input(slirp, frame, (int)length);
  opening.active = false;
}

void tcp_seen(uint16_t guest_port, uint32_t to, uint16_t port, uint8_t flags) {
  struct flow *flow = find(guest_port, to, port);
  if (flow == NULL) return;
  int64_t now = now_ms();
  if (now - flow->used_at > KEEP_BOUND_MS) keep_bound(to);
  flow->used_at = now;
  if (flow->inspection == INCOMPLETE) flow->inspection = AWAITED;
  if (flags & TCP_FIN) flow->guest_ended = true;
  if (flow->guest_ended && flow->host_ended) flow->state = CLOSING;
}

void tcp_to_guest(const uint8_t *ip, size_t length) {
  const uint8_t *tcp = ip + IP_HEADER;
  if (ip[9] != IPPROTO_TCP || length < IP_HEADER + TCP_HEADER) return;
  struct flow *flow = find(get16(tcp + 2), get32(ip + 12), get16(tcp));
  if (flow == NULL) return;
  uint8_t flags = tcp[13];
  uint32_t payload = (uint32_t)(get16(ip + 2) - IP_HEADER - (tcp[12] >> 4) * 4);
  flow->sent_next = get32(tcp + 4) + payload + ((flags & TCP_SYN) != 0) + ((flags & TCP_FIN) != 0);
  if (flags & TCP_ACK) flow->acknowledged = get32(tcp + 8);
  flow->used_at = now_ms();
  if (flags & TCP_SYN && flow->state == CONNECTING) flow->state = OPEN;
  if (flags & TCP_FIN) flow->host_ended = true;
  if (flow->guest_ended && flow->host_ended) flow->state = CLOSING;
}

/* A reset to libslirp as if from the guest, at the place where it waits for what comes next, and one to the guest. */
static void reset_both(struct flow *flow) {
  uint8_t frame[ETHERNET + IP_HEADER + TCP_HEADER] = {0};
  uint8_t *tcp = frame + ETHERNET + IP_HEADER;
  put16(tcp, flow->port), put16(tcp + 2, flow->guest_port);
  put32(tcp + 4, flow->sent_next), put32(tcp + 8, flow->acknowledged);
  tcp[12] = 0x50, tcp[13] = TCP_RST | TCP_ACK;
  send_ip(frame, IPPROTO_TCP, flow->to, TCP_HEADER);
  put16(tcp, flow->guest_port), put16(tcp + 2, flow->port);
  put32(tcp + 4, flow->acknowledged), put32(tcp + 8, flow->sent_next);
  size_t length = build_ip(frame, IPPROTO_TCP, GUEST, flow->to, TCP_HEADER);
  slirp_input(slirp, frame, (int)length);
}

void mismatch(struct flow *flow, const char *name) {
  struct verdict verdict = {.why = WHY_MISMATCH, .id = id_of("floor:mismatch"), .name = name};
  tell(TCP, flow->to, flow->port, name, verdict);
  give_up(flow);
}

static void end_late_greetings(void) {
  int64_t now = now_ms();
  for (int i = 0; i < FLOWS; i++) {
    struct flow *flow = &flows[i];
    if (flow->fd == NO_FLOW || flow->given_up || flow->inspection == NOTHING || flow->state == CONNECTING) continue;
    int64_t left = flow->opened_at + GREETING_WITHIN_MS - now;
    /* A server may speak first, and a client take its time before it says anything at all. */
    if (flow->inspection == INCOMPLETE && left <= 0) mismatch(flow, "");
    else if (flow->inspection == INCOMPLETE) wake_within(left);
  }
}

void tcp_reap(void) {
  end_late_greetings();
  if (!any_given_up) return;
  any_given_up = false;
  for (int i = 0; i < FLOWS; i++) {
    if (flows[i].fd == NO_FLOW || !flows[i].given_up) continue;
    /* One that still connects takes nothing from the guest: it ends at the next look at its socket. */
    if (flows[i].state != CONNECTING) reset_both(&flows[i]);
    if (flows[i].fd != NO_FLOW) any_given_up = true;
  }
}

void tcp_judge_again(void) {
  for (int i = 0; i < FLOWS; i++) {
    struct flow *flow = &flows[i];
    if (flow->fd == NO_FLOW || flow->given_up) continue;
    struct verdict verdict = judge(TCP, flow->to, flow->port);
    if (verdict.allow) continue;
    tell(TCP, flow->to, flow->port, verdict.name, verdict);
    give_up(flow);
  }
}

int tcp_events(int fd, int events) {
  const struct flow *flow = flow_at(fd);
  if (flow == NULL) return events;
  if (flow->given_up) wake_within(0);
  /* Until the guest says more there is nothing to be written, however ready the socket is. */
  return flow->inspection == INCOMPLETE ? events & ~SLIRP_POLL_OUT : events;
}

int tcp_revents(int fd, int events) {
  const struct flow *flow = flow_at(fd);
  return flow != NULL && flow->given_up ? SLIRP_POLL_HUP : events;
}

void flow_forget(int fd) {
  struct flow *flow = flow_at(fd);
  if (flow == NULL) return;
  int at = (int)(flow - flows), *link = head_of(flow->guest_port);
  while (*link != at) link = &flows[*link].next;
  *link = flow->next;
  flow->fd = flow_of_fd[fd] = NO_FLOW;
}

bool flow_begin(int fd) {
  int at = 0;
  while (at < FLOWS && flows[at].fd != NO_FLOW) at++;
  if (at == FLOWS || fd >= DESCRIPTORS_MOST) return false;
  int64_t now = now_ms();
  int *head = head_of(opening.guest_port);
  flows[at] = (struct flow){.fd = fd, .next = *head, .to = opening.to, .opened_at = now, .used_at = now};
  flows[at].guest_port = opening.guest_port, flows[at].port = opening.port;
  flows[at].inspection = opening.verdict.inspect ? AWAITED : NOTHING;
  *head = flow_of_fd[fd] = at;
  return true;
}

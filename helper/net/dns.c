/* The guest's name server: what may be asked for is asked anew of the host's resolver, and the answer opens addresses. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dns.h"

enum { TRY_NEXT_MS = 2000, GIVE_UP_MS = 5000, GRACE_MS = 300000, SHORTEST_S = 60, LONGEST_S = 86400, ANSWER_MOST = 4096 };

static struct pending {
  int fd, place;
  uint64_t order;
  int64_t asked_at, tried_at;
  uint16_t guest_port, guest_id, id;
  int tried;
  struct question question;
} pending[QUESTIONS_MOST];
static bool ready;
static uint64_t order;

static void done(struct pending *each) {
  if (each->fd >= 0) syscall(SYS_close, each->fd);
  each->fd = -1;
}

int dns_pending(void) {
  int count = 0;
  for (int i = 0; ready && i < QUESTIONS_MOST; i++) count += pending[i].fd >= 0;
  return count;
}

static void answer(uint16_t guest_port, const uint8_t *message, size_t length) {
  uint8_t frame[ETHERNET + IP_HEADER + UDP_HEADER + ANSWER_MOST];
  memcpy(frame + ETHERNET + IP_HEADER + UDP_HEADER, message, length);
  send_udp(frame, NAMESERVER, 53, guest_port, length);
}

/* An answer of our own: the question, and what became of it. */
static void answer_code(uint16_t guest_port, uint16_t id, const struct question *question, int code) {
  uint8_t message[DNS_HEADER + QUESTION_MOST];
  size_t length = build_answer(message, id, question, code);
  answer(guest_port, message, length);
}

/* Asks the next resolver by a socket of its own: the kernel draws its port, and hears nobody else on it. */
static bool ask_next(struct pending *each) {
  const struct sockaddr_in *list;
  int count = resolvers(&list);
  uint8_t message[DNS_HEADER + QUESTION_MOST + OPT_BYTES];
  done(each);
  while (each->tried < count) {
    const struct sockaddr_in *to = &list[each->tried++];
    each->fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (each->fd < 0) return false;
    if (getrandom(&each->id, sizeof each->id, 0) != sizeof each->id) return done(each), false;
    size_t length = build_question(message, each->id, &each->question);
    each->tried_at = now_ms();
    if (syscall(SYS_connect, each->fd, to, sizeof *to) == 0 &&
        syscall(SYS_sendto, each->fd, message, length, MSG_NOSIGNAL, NULL, 0) >= 0)
      return true;
    done(each);
  }
  return false;
}

static struct pending *free_place(void) {
  for (int i = 0; !ready && i < QUESTIONS_MOST; i++) pending[i].fd = -1;
  ready = true;
  struct pending *oldest = &pending[0];
  for (int i = 0; i < QUESTIONS_MOST; i++) {
    if (pending[i].fd < 0) return &pending[i];
    if (pending[i].order < oldest->order) oldest = &pending[i];
  }
  counts.evicted++;
  done(oldest);
  return oldest;
}

void dns_ask(uint16_t guest_port, const uint8_t *message, size_t length) {
  struct question question;
  if (length < DNS_HEADER || message[2] & 0x80) {
    counts.malformed++;
    return;
  }
  uint16_t id = get16(message);
  if (!read_question(message, length, &question)) return answer_code(guest_port, id, &question, CODE_FORMAT);
  struct verdict verdict = judge_name(question.name);
  tell(DNS, 0, 0, question.name, verdict);
  int refusal = verdict.why == WHY_NO_POLICY ? CODE_REFUSED : CODE_NO_NAME;
  if (!verdict.allow) return answer_code(guest_port, id, &question, refusal);
  if (!is_askable(&question)) return answer_code(guest_port, id, &question, CODE_REFUSED);
  /* The guest has no IPv6 here, and keys that hide the server's name would hide it from us too. */
  if (question.type == TYPE_AAAA || question.type == TYPE_HTTPS || question.type == TYPE_SVCB)
    return answer_code(guest_port, id, &question, CODE_NONE);
  struct pending *each = free_place();
  *each = (struct pending){.fd = -1, .place = -1, .order = ++order, .asked_at = now_ms()};
  each->guest_port = guest_port, each->guest_id = id, each->question = question;
  if (!ask_next(each)) answer_code(guest_port, id, &question, CODE_FAILURE);
}

void dns_watch(void) {
  for (int i = 0; ready && i < QUESTIONS_MOST; i++) {
    if (pending[i].fd < 0) continue;
    pending[i].place = watch(pending[i].fd, POLLIN);
    wake_within(pending[i].tried_at + TRY_NEXT_MS - now_ms());
  }
}

static void bind_address(void *to, uint32_t address, uint32_t ttl_s) {
  const struct pending *each = to;
  int64_t lasts_s = ttl_s < SHORTEST_S ? SHORTEST_S : ttl_s > LONGEST_S ? LONGEST_S : ttl_s;
  bind_name(address, each->question.name, lasts_s * 1000 + GRACE_MS);
}

static void refuse_rebinding(struct pending *each, uint32_t address) {
  struct verdict verdict = {.why = WHY_REBINDING, .id = id_of("floor:rebinding"), .name = each->question.name};
  tell(DNS, address, 0, each->question.name, verdict);
  answer_code(each->guest_port, each->guest_id, &each->question, CODE_NO_NAME);
}

static void take_answer(struct pending *each, uint8_t *message, size_t length) {
  uint32_t bad;
  /* Not to this question: the true answer may still come. */
  if (length < DNS_HEADER || get16(message) != each->id || !answers(message, length, &each->question)) return;
  enum reading reading = read_answer(message, length, &each->question, may_resolve_to, &bad, bind_address, each);
  if (reading == READING_OK) {
    put16(message, each->guest_id);
    answer(each->guest_port, message, fit_answer(message, length, &each->question));
  } else if (reading == READING_FORBIDDEN) {
    refuse_rebinding(each, bad);
  } else {
    answer_code(each->guest_port, each->guest_id, &each->question, CODE_FAILURE);
  }
  done(each);
}

static void look_at(struct pending *each) {
  uint8_t message[ANSWER_MOST];
  short seen = seen_events(each->place);
  long length = seen == 0 ? 0 : syscall(SYS_recvfrom, each->fd, message, sizeof message, 0, NULL, NULL);
  if (length > 0) take_answer(each, message, (size_t)length);
  if (each->fd < 0) return;
  int64_t now = now_ms();
  bool refused = length < 0 && errno != EAGAIN && errno != EINTR;
  bool late = now - each->tried_at >= TRY_NEXT_MS;
  if (!refused && !late && now - each->asked_at < GIVE_UP_MS) return;
  const struct sockaddr_in *list;
  if (each->tried < resolvers(&list) && now - each->asked_at < GIVE_UP_MS && ask_next(each)) return;
  if (!refused && now - each->asked_at < GIVE_UP_MS && each->fd >= 0) {
    each->tried_at = now;
    return;
  }
  answer_code(each->guest_port, each->guest_id, &each->question, CODE_FAILURE);
  done(each);
}

void dns_read(void) {
  for (int i = 0; ready && i < QUESTIONS_MOST; i++)
    if (pending[i].fd >= 0 && pending[i].place >= 0) look_at(&pending[i]);
}

/*
 * The network of one VM: frames of its guest on one side, sockets of this host on the other, and a policy between.
 * docs/network-process.md tells how it is spoken to and what it refuses.
 */
#ifndef BANGER_NET_H
#define BANGER_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slirp.h"

enum { MTU = 32000, FRAME_MAX = 32768, ETHERNET = 14, IP_HEADER = 20, TCP_HEADER = 20, UDP_HEADER = 8 };
enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARPV4 = 0x0806 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* The guest's side, the same in every VM. Addresses and ports are in host order everywhere but in packets. */
#define GUEST_NETWORK 0x0a000200u
#define GUEST_MASK 0xffffff00u
#define GATEWAY 0x0a000202u
#define NAMESERVER 0x0a000203u
#define GUEST 0x0a00020fu
#define LOOPBACK 0x7f000001u

/* Bounds, which together stay below the limit of descriptors. */
enum {
  TCP_MOST = 512,
  HALF_OPEN_MOST = 128,
  INBOUND_MOST = 112,
  UDP_MOST = 112,
  QUESTIONS_MOST = 64,
  FORWARDS_MOST = 256,
  CLIENTS_MOST = 8,
  DESCRIPTORS_MOST = 1100,
  RULES_MOST = 1024,
  OPENINGS_MOST = 64,
  RESOLVERS_MOST = 3,
  BINDINGS_MOST = 4096,
  BINDINGS_OF_ADDRESS = 32,
  IDS_MOST = 2048,
  DESTINATIONS_MOST = 512,
  LOG_MOST = 1024,
  PATTERN_BYTES = 128 * 1024,
  NAME_MOST = 253,
  ID_MOST = 63,
  DIGEST_MOST = 64,
  LINE_MOST = 511,
};

enum proto { ANY, TCP, UDP, ICMP, DNS };
enum why { WHY_RULE, WHY_DEFAULT, WHY_HOST, WHY_FLOOR, WHY_NO_POLICY, WHY_MISMATCH, WHY_REBINDING, WHY_FULL };

struct verdict {
  bool allow;
  /* The name that was asked for must show in what the guest sends first. */
  bool inspect;
  enum why why;
  /* Index of the rule's id. */
  int id;
  /* The name that the address is bound to, or "". */
  const char *name;
};

extern struct counts {
  uint64_t frames_in, frames_out, malformed, dropped, late_refused, evicted;
} counts;
extern Slirp *slirp;
extern uint8_t guest_mac[6];

/* main.c */
int64_t now_ms(void);
_Noreturn void fail(const char *what);
/* One more descriptor to wait for; its place in the list, by which `seen_events` tells what happened. */
int watch(int fd, short events);
short seen_events(int place);
void wake_within(int64_t ms);

/* packet.c */
uint16_t get16(const uint8_t *at);
uint32_t get32(const uint8_t *at);
void put16(uint8_t *at, uint16_t value);
void put32(uint8_t *at, uint32_t value);
/* What follows the header stands at frame + 34; the frame has that many bytes at least. */
void send_ip(uint8_t *frame, uint8_t protocol, uint32_t from, size_t payload);
/* The same from the guest's side, for libslirp. */
size_t build_ip(uint8_t *frame, uint8_t protocol, uint32_t from, uint32_t to, size_t payload);
void send_udp(uint8_t *frame, uint32_t from, uint16_t from_port, uint16_t to_port, size_t payload);
/* ICMP "unreachable" about a packet of the guest's, of which the IP header and 8 bytes are there. */
void send_unreachable(const uint8_t *ip, uint8_t code);
/* The guest learns at once that it may not: a reset, or "administratively prohibited". */
void refuse(const uint8_t *ip, size_t length);

/* qemu.c: frames from and to QEMU's socket. */
void qemu_open(void);
void qemu_watch(void);
void qemu_read(void);
void qemu_flush(void);
bool qemu_connected(void);
void to_guest(const void *frame, size_t length);

/* frames.c: what the guest sends goes on only where it is understood and allowed. */
void from_guest(uint8_t *frame, size_t length);

/* rules.c */
int id_of(const char *text);
const char *id_text(int id);
void count_verdict(int id, bool allow);
void each_counter(void (*tell)(void *to, const char *id, uint64_t allowed, uint64_t denied), void *to);
bool policy_begin(const char *digest);
/* NULL, or the code of an error. */
const char *policy_line(char **words, int count);
const char *policy_commit(void);
const char *policy_digest(void);
/* Whether only this user and root may connect to forwards. */
bool peers_own(void);
int resolvers(const struct sockaddr_in **list);

/* verdict.c */
struct verdict judge(enum proto proto, uint32_t address, uint16_t port);
/* As if the address were bound to that name. */
struct verdict judge_as(enum proto proto, uint32_t address, uint16_t port, const char *name);
struct verdict judge_name(const char *name);
/* A connection to some port of that name, whatever its address. */
struct verdict judge_unbound(enum proto proto, const char *name, uint16_t port);
/* Whether any connection to the address could be allowed to one who asked for that name. */
bool may_resolve_to(const char *name, uint32_t address);
/* Whether what a connection says of itself is a name that its address is bound to and may be reached under. */
bool name_agrees(const char *name, uint32_t address, uint16_t port);
void routes_open(void);

/* bindings.c */
void bind_name(uint32_t address, const char *name, int64_t lasts_ms);
void keep_bound(uint32_t address);
/* The next name that the address is bound to; `*place` begins with -1. NULL: no more. */
const char *next_name(uint32_t address, int *place);
bool next_address(const char *name, int *place, uint32_t *address);

/* tell.c: the log of verdicts, and the destinations that they were about. */
extern uint64_t log_next;
void tell(enum proto proto, uint32_t address, uint16_t port, const char *name, struct verdict verdict);
/* False when that entry is not there any more. */
bool log_line(uint64_t seq, char *text, size_t size);
void each_destination(void (*tell)(void *to, const char *line), void *to);
const char *proto_text(enum proto proto);
const char *why_text(enum why why);

/* dns.c */
void dns_ask(uint16_t guest_port, const uint8_t *question, size_t length);
void dns_watch(void);
void dns_read(void);
int dns_pending(void);

/* greeting.c: what a connection says first. */
enum greeting { GREETING_MORE, GREETING_NAME, GREETING_NONE };
enum greeting tls_name(const uint8_t *bytes, size_t length, char name[NAME_MOST + 1]);
enum greeting http_name(const uint8_t *bytes, size_t length, char name[NAME_MOST + 1]);
/* Lower case, without a final dot; false for what is not a host name. */
bool clean_name(const char *text, size_t length, char name[NAME_MOST + 1]);

/* flows.c: connections of libslirp's. */
void tcp_syn(uint8_t *frame, size_t length, uint16_t guest_port, uint32_t to, uint16_t port, struct verdict verdict);
void tcp_seen(uint16_t guest_port, uint32_t to, uint16_t port, uint8_t flags);
void tcp_to_guest(const uint8_t *ip, size_t length);
/* Resets what the table denies now. */
void tcp_judge_again(void);
/* Ends what was given up since the last turn. */
void tcp_reap(void);
int tcp_events(int fd, int events);
int tcp_revents(int fd, int events);
int tcp_count(void);
int tcp_half_open(void);
/* calls.c: whether libslirp's calls come here, as they must. */
void tcp_prove(void);

/* udp.c: UDP and ping of the guest's. */
void udp_out(const uint8_t *ip, size_t length);
void udp_watch(void);
void udp_read(void);
void udp_judge_again(void);
int udp_count(void);

/* control.c */
void control_open(void);
void control_watch(void);
void control_read(void);
/* forwards.c: ports of this host that lead to the guest. NULL, or the code of an error. */
const char *forward_add(uint32_t address, uint16_t port, uint16_t guest_port);
void forward_remove(uint32_t address, uint16_t port);
void each_forward(void (*tell)(void *to, uint32_t address, uint16_t port, uint16_t guest_port), void *to);
/* peer.c: whether whoever opened this connection to a forward may: this user, or root. */
void peers_open(void);
/* False where the kernel does not tell. */
bool peers_known(void);
bool peer_may(int fd);

/* sandbox.c */
void limit(void);
/* From here on no file and no other system call; false where the kernel has no Landlock. */
bool confine(void);
extern bool has_landlock;

#endif

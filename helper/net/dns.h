/* Messages of the domain name system, as dns-message.c reads and makes them. */
#ifndef BANGER_NET_DNS_H
#define BANGER_NET_DNS_H

#include "net.h"

enum { DNS_HEADER = 12, QUESTION_MOST = 255 + 4, OPT_BYTES = 11 };
enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_OPT = 41, TYPE_AAAA = 28, TYPE_SVCB = 64, TYPE_HTTPS = 65 };
enum { CODE_NONE = 0, CODE_FORMAT = 1, CODE_FAILURE = 2, CODE_NO_NAME = 3, CODE_REFUSED = 5 };

struct question {
  char name[NAME_MOST + 1];
  /* As the guest wrote it, type and class included. */
  uint8_t bytes[QUESTION_MOST];
  size_t length;
  uint16_t type, class, flags;
  /* What the guest said about its room; 0: nothing, which means 512. */
  uint16_t room;
  bool dnssec;
};

/* False for what is not exactly one question; what there is of it is in `question` then. */
bool read_question(const uint8_t *message, size_t length, struct question *question);
/* Questions of the internet's class, for one kind of record. */
bool is_askable(const struct question *question);
size_t build_question(uint8_t *message, uint16_t id, const struct question *question);
size_t build_answer(uint8_t *message, uint16_t id, const struct question *question, int code);
/* Whether it is an answer to this question. */
bool answers(const uint8_t *message, size_t length, const struct question *question);

enum reading { READING_OK, READING_FORBIDDEN, READING_BROKEN };
/* Each address of the answer must be one that may be; then those that belong to the question's name are told. */
enum reading read_answer(const uint8_t *message, size_t length, const struct question *question,
                         bool (*may_be)(const char *name, uint32_t address), uint32_t *bad,
                         void (*found)(void *to, uint32_t address, uint32_t ttl_s), void *to);
/* Cuts the answer to what the guest has room for; its new length. */
size_t fit_answer(uint8_t *message, size_t length, const struct question *question);

#endif

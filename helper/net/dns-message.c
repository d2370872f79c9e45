/* Reads and makes messages of the domain name system (RFC 1035, RFC 6891). */
#include <string.h>

#include "dns.h"

enum { CLASS_IN = 1, FLAG_ANSWER = 0x8000, FLAG_CUT = 0x0200, FLAG_WANTED = 0x0100, FLAG_CAN = 0x0080 };
/* Of the guest's flags: that it wants recursion, and what it says about signatures. */
enum { KEPT_FLAGS = 0x0130, OPCODE = 0x7800, UPSTREAM_ROOM = 4096, SMALLEST_ROOM = 512 };
enum { POINTERS_MOST = 32, CHAIN_MOST = 16 };

/*
 * The name at `at`, in lower case with dots. The place after it, or 0 for one that is broken or has other characters
 * than host names have.
 */
static size_t read_name(const uint8_t *message, size_t length, size_t at, char name[NAME_MOST + 1]) {
  size_t after = 0, written = 0;
  for (int pointers = 0; at < length;) {
    uint8_t size = message[at];
    if (size >= 0xc0) {
      if (at + 1 >= length || ++pointers > POINTERS_MOST) return 0;
      if (after == 0) after = at + 2;
      at = get16(message + at) & 0x3fff;
      continue;
    }
    if (size > 63 || at + 1 + size > length) return 0;
    if (size == 0) {
      name[written] = 0;
      return after == 0 ? at + 1 : after;
    }
    if (written + (written > 0) + size > NAME_MOST) return 0;
    if (written > 0) name[written++] = '.';
    for (int i = 1; i <= size; i++) {
      char c = (char)message[at + (size_t)i];
      if (c <= ' ' || c > '~' || c == '.' || c == '\\') return 0;
      name[written++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    at += 1u + size;
  }
  return 0;
}

struct record {
  char owner[NAME_MOST + 1];
  uint16_t type, class, size;
  uint32_t ttl;
  size_t at, data, end;
};

static bool read_record(const uint8_t *message, size_t length, size_t at, struct record *record) {
  size_t after = read_name(message, length, at, record->owner);
  if (after == 0 || after + 10 > length) return false;
  record->at = at;
  record->type = get16(message + after), record->class = get16(message + after + 2);
  record->ttl = get32(message + after + 4), record->size = get16(message + after + 8);
  record->data = after + 10, record->end = record->data + record->size;
  return record->end <= length;
}

static bool read_opt(const uint8_t *message, size_t length, size_t at, struct question *question) {
  struct record record;
  if (!read_record(message, length, at, &record) || record.type != TYPE_OPT || record.owner[0] != 0) return false;
  question->room = record.class < SMALLEST_ROOM ? SMALLEST_ROOM : record.class;
  question->dnssec = record.ttl & 0x8000;
  return record.end == length;
}

bool read_question(const uint8_t *message, size_t length, struct question *question) {
  memset(question, 0, sizeof *question);
  uint16_t flags = get16(message + 2), more = get16(message + 10);
  question->flags = flags & KEPT_FLAGS;
  if (flags & (FLAG_ANSWER | OPCODE) || get16(message + 4) != 1 || get32(message + 6) != 0 || more > 1) return false;
  /* A question has nothing before it that a pointer could lead to. */
  for (size_t at = DNS_HEADER; at < length && message[at] != 0; at += 1u + message[at])
    if (message[at] > 63) return false;
  size_t after = read_name(message, length, DNS_HEADER, question->name);
  if (after == 0 || after + 4 > length || after + 4 - DNS_HEADER > QUESTION_MOST) return false;
  question->length = after + 4 - DNS_HEADER;
  memcpy(question->bytes, message + DNS_HEADER, question->length);
  question->type = get16(message + after), question->class = get16(message + after + 2);
  return more == 0 ? after + 4 == length : read_opt(message, length, after + 4, question);
}

bool is_askable(const struct question *question) {
  /* 128 and above are transfers and questions for everything, which servers answer with anything. */
  bool meta = question->type >= 128 && question->type < 256;
  return question->class == CLASS_IN && !meta && question->type != 0 && question->type != TYPE_OPT;
}

static size_t put_opt(uint8_t *at, uint16_t room, bool dnssec) {
  memset(at, 0, OPT_BYTES);
  put16(at + 1, TYPE_OPT), put16(at + 3, room);
  if (dnssec) at[7] = 0x80;
  return OPT_BYTES;
}

size_t build_question(uint8_t *message, uint16_t id, const struct question *question) {
  memset(message, 0, DNS_HEADER);
  put16(message, id), put16(message + 2, question->flags | FLAG_WANTED), put16(message + 4, 1), put16(message + 10, 1);
  memcpy(message + DNS_HEADER, question->bytes, question->length);
  size_t at = DNS_HEADER + question->length;
  return at + put_opt(message + at, UPSTREAM_ROOM, question->dnssec);
}

size_t build_answer(uint8_t *message, uint16_t id, const struct question *question, int code) {
  memset(message, 0, DNS_HEADER);
  put16(message, id);
  put16(message + 2, (uint16_t)(FLAG_ANSWER | FLAG_CAN | (question->flags & FLAG_WANTED) | code));
  put16(message + 4, question->length > 0);
  memcpy(message + DNS_HEADER, question->bytes, question->length);
  return DNS_HEADER + question->length;
}

bool answers(const uint8_t *message, size_t length, const struct question *question) {
  uint16_t flags = get16(message + 2);
  return flags & FLAG_ANSWER && !(flags & OPCODE) && get16(message + 4) == 1 &&
         length >= DNS_HEADER + question->length &&
         memcmp(message + DNS_HEADER, question->bytes, question->length) == 0;
}

/* The question's name, and those that it is an alias of. */
struct chain {
  int count;
  char names[CHAIN_MOST][NAME_MOST + 1];
};

static bool has(const struct chain *chain, const char *name) {
  for (int i = 0; i < chain->count; i++)
    if (strcmp(chain->names[i], name) == 0) return true;
  return false;
}

static bool follow(struct chain *chain, const uint8_t *message, size_t length, const struct record *record) {
  char target[NAME_MOST + 1];
  if (record->type != TYPE_CNAME || !has(chain, record->owner)) return true;
  if (read_name(message, length, record->data, target) != record->end) return false;
  if (has(chain, target)) return true;
  if (chain->count == CHAIN_MOST) return false;
  strcpy(chain->names[chain->count++], target);
  return true;
}

static bool is_address(const struct record *record) { return record->type == TYPE_A && record->class == CLASS_IN; }

enum reading read_answer(const uint8_t *message, size_t length, const struct question *question,
                         bool (*may_be)(const char *name, uint32_t address), uint32_t *bad,
                         void (*found)(void *to, uint32_t address, uint32_t ttl_s), void *to) {
  struct chain chain = {.count = 1};
  struct record record;
  size_t start = DNS_HEADER + question->length, at = start;
  int in_answer = get16(message + 6), all = in_answer + get16(message + 8) + get16(message + 10);
  strcpy(chain.names[0], question->name);
  for (int i = 0; i < all; i++, at = record.end) {
    if (!read_record(message, length, at, &record)) return READING_BROKEN;
    if (i < in_answer && !follow(&chain, message, length, &record)) return READING_BROKEN;
    if (!is_address(&record)) continue;
    if (record.size != 4) return READING_BROKEN;
    *bad = get32(message + record.data);
    if (!may_be(question->name, *bad)) return READING_FORBIDDEN;
  }
  at = start;
  for (int i = 0; i < in_answer; i++, at = record.end) {
    if (!read_record(message, length, at, &record)) return READING_BROKEN;
    if (is_address(&record) && has(&chain, record.owner)) found(to, get32(message + record.data), record.ttl);
  }
  return READING_OK;
}

/*
 * A guest with room for all of it gets all; else, of addresses, as many as it has room for, of anything else the word
 * that it was cut. Room of its own is spoken of only to who spoke of it.
 */
size_t fit_answer(uint8_t *message, size_t length, const struct question *question) {
  struct record record;
  size_t start = DNS_HEADER + question->length, at = start, room = question->room ? question->room : SMALLEST_ROOM;
  int in_answer = get16(message + 6), authority = get16(message + 8), more = get16(message + 10);
  if (length <= room && question->room != 0) return length;
  size_t opt = 0;
  for (int i = 0; i < in_answer + authority + more && read_record(message, length, at, &record); i++, at = record.end)
    if (record.type == TYPE_OPT && record.end == length) opt = record.at;
  if (opt != 0) length = opt, put16(message + 10, (uint16_t)--more);
  if (length <= room) return length;
  int kept = 0;
  for (at = start; kept < in_answer && read_record(message, length, at, &record) && record.end <= room; kept++)
    at = record.end;
  put16(message + 6, (uint16_t)kept), put32(message + 8, 0);
  if (question->type != TYPE_A) put16(message + 2, get16(message + 2) | FLAG_CUT);
  return at;
}

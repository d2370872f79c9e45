/* The name that a connection gives of the server it wants: in a TLS ClientHello, or in an HTTP request. */
#define _GNU_SOURCE
#include <string.h>
#include <strings.h>

#include "net.h"

enum { GREETING_MOST = 16384, RECORD = 5, HANDSHAKE = 22, CLIENT_HELLO = 1, SERVER_NAME = 0 };

bool clean_name(const char *text, size_t length, char name[NAME_MOST + 1]) {
  size_t label = 0;
  if (length > 0 && text[length - 1] == '.') length--;
  if (length == 0 || length > NAME_MOST) return false;
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
    if (c == '.' ? label == 0 : ++label > 63) return false;
    if (c == '.') label = 0;
    else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) return false;
    name[i] = c;
  }
  name[length] = 0;
  return label > 0;
}

/* A part of a message: nothing is read beyond its end, and running out shows in `short_of`. */
struct reader {
  const uint8_t *at, *end;
  bool short_of;
};

static uint32_t take(struct reader *reader, int bytes) {
  uint32_t value = 0;
  if (reader->end - reader->at < bytes) return reader->short_of = true, reader->at = reader->end, 0;
  while (bytes-- > 0) value = value << 8 | *reader->at++;
  return value;
}

static struct reader part(struct reader *reader, size_t length) {
  struct reader found = {reader->at, reader->at + length, false};
  if ((size_t)(reader->end - reader->at) < length) {
    reader->short_of = true;
    return (struct reader){reader->end, reader->end, true};
  }
  reader->at += length;
  return found;
}

static enum greeting name_of(struct reader names, char name[NAME_MOST + 1]) {
  struct reader list = part(&names, take(&names, 2));
  if (names.at != names.end || take(&list, 1) != 0) return GREETING_NONE;
  struct reader host = part(&list, take(&list, 2));
  /* One name, and nothing after it: who knows which a server would take. */
  if (list.short_of || list.at != list.end) return GREETING_NONE;
  bool clean = clean_name((const char *)host.at, (size_t)(host.end - host.at), name);
  return clean ? GREETING_NAME : GREETING_NONE;
}

static enum greeting hello_name(struct reader hello, char name[NAME_MOST + 1]) {
  enum greeting found = GREETING_NONE;
  take(&hello, 2);
  part(&hello, 32);
  part(&hello, take(&hello, 1));
  part(&hello, take(&hello, 2));
  part(&hello, take(&hello, 1));
  struct reader extensions = part(&hello, take(&hello, 2));
  if (hello.short_of) return GREETING_NONE;
  while (extensions.at != extensions.end) {
    uint32_t type = take(&extensions, 2);
    struct reader content = part(&extensions, take(&extensions, 2));
    if (extensions.short_of) return GREETING_NONE;
    if (type != SERVER_NAME) continue;
    /* A second one would be for somebody else to read. */
    if (found == GREETING_NAME) return GREETING_NONE;
    found = name_of(content, name);
    if (found == GREETING_NONE) return found;
  }
  return found;
}

/* A ClientHello may come in several records. Whatever cannot become one is answered at once. */
enum greeting tls_name(const uint8_t *bytes, size_t length, char name[NAME_MOST + 1]) {
  static uint8_t message[GREETING_MOST];
  size_t have = 0, need = 4, at = 0;
  while (have < need) {
    if (length - at < 1) return GREETING_MORE;
    if (bytes[at] != HANDSHAKE) return GREETING_NONE;
    if (length - at < RECORD) return GREETING_MORE;
    size_t record = get16(bytes + at + 3);
    if (bytes[at + 1] != 3 || record == 0 || have + record > sizeof message) return GREETING_NONE;
    size_t here = length - at - RECORD < record ? length - at - RECORD : record;
    memcpy(message + have, bytes + at + RECORD, here);
    have += here;
    at += RECORD + here;
    if (have > 0 && message[0] != CLIENT_HELLO) return GREETING_NONE;
    if (have >= 4) need = 4 + ((size_t)message[1] << 16 | get16(message + 2));
    if (need > sizeof message) return GREETING_NONE;
    if (here < record && have < need) return GREETING_MORE;
  }
  return hello_name((struct reader){message + 4, message + need, false}, name);
}

static const char *const methods[] = {"GET ",     "HEAD ",    "POST ",     "PUT ",      "DELETE ",
                                      "OPTIONS ", "PATCH ",   "PROPFIND ", "REPORT ",   "MKCOL ",
                                      "COPY ",    "MOVE ",    "LOCK ",     "UNLOCK ",   "PROPPATCH "};

/* Whether it could still become a request, or is one. */
static bool begins_request(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    size_t most = strlen(methods[i]);
    if (memcmp(bytes, methods[i], length < most ? length : most) == 0) return true;
  }
  return false;
}

static enum greeting host_of(const char *value, size_t length, char name[NAME_MOST + 1]) {
  while (length > 0 && (*value == ' ' || *value == '\t')) value++, length--;
  while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) length--;
  const char *colon = memchr(value, ':', length);
  if (colon != NULL && strspn(colon + 1, "0123456789") != (size_t)(value + length - colon - 1)) return GREETING_NONE;
  return clean_name(value, colon == NULL ? length : (size_t)(colon - value), name) ? GREETING_NAME : GREETING_NONE;
}

/* The host that a target in whole form names, which goes before the header line; a path names none. */
static bool is_path(const char *line, size_t length) {
  const char *target = memchr(line, ' ', length);
  return target != NULL && target + 1 < line + length && (target[1] == '/' || target[1] == '*');
}

/* Exactly one Host line in a whole head, and a target that does not name another. */
enum greeting http_name(const uint8_t *bytes, size_t length, char name[NAME_MOST + 1]) {
  const char *at = (const char *)bytes, *end = at + length;
  enum greeting found = GREETING_NONE;
  if (!begins_request(bytes, length)) return GREETING_NONE;
  for (bool first = true;; first = false) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (stop == NULL) return length >= GREETING_MOST ? GREETING_NONE : GREETING_MORE;
    size_t size = (size_t)(stop - at);
    if (size > 0 && at[size - 1] == '\r') size--;
    if (memchr(at, 0, size) != NULL || memchr(at, '\r', size) != NULL) return GREETING_NONE;
    if (size == 0) return first ? GREETING_NONE : found;
    if (first && !is_path(at, size)) return GREETING_NONE;
    /* A line that goes on from the one before, or a blank before the colon, is read in more than one way. */
    if (!first && (*at == ' ' || *at == '\t')) return GREETING_NONE;
    if (!first && size >= 4 && strncasecmp(at, "host", 4) == 0 && (at[4] == ' ' || at[4] == '\t')) return GREETING_NONE;
    if (!first && size >= 5 && strncasecmp(at, "host:", 5) == 0) {
      if (found == GREETING_NAME || host_of(at + 5, size - 5, name) == GREETING_NONE) return GREETING_NONE;
      found = GREETING_NAME;
    }
    at = stop + 1;
  }
}

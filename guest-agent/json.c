/* Reads JSON in place and writes JSON strings. */
#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16

static char peek(struct json *json) {
  if (json->bad) return 0;
  json->at += strspn(json->at, " \t\r\n");
  return *json->at;
}

bool json_open(struct json *json, char bracket) {
  if (peek(json) != bracket) json->bad = true;
  if (!json->bad) json->at++;
  json->fresh = true;
  return !json->bad;
}

bool json_more(struct json *json, char bracket) {
  char next = peek(json);
  if (next == bracket) {
    json->at++;
    json->fresh = false;
    return false;
  }
  if (!json->fresh) {
    if (next == ',') json->at++;
    if (next != ',' || peek(json) == bracket) json->bad = true;
  }
  return !json->bad;
}

static long hex4(const char *at) {
  char digits[5] = {0};
  for (int i = 0; i < 4; i++) {
    if (!at[i] || !strchr("0123456789abcdefABCDEF", at[i])) return -1;
    digits[i] = at[i];
  }
  return strtol(digits, NULL, 16);
}

/* Decodes the escape behind `\u`; returns the bytes read there, 0 when it is none or NUL. */
static size_t decode_unicode(const char *from, char **to) {
  long point = hex4(from);
  size_t taken = 4;
  if (point >= 0xd800 && point < 0xdc00 && from[4] == '\\' && from[5] == 'u') {
    long low = hex4(from + 6);
    if (low < 0xdc00 || low > 0xdfff) return 0;
    point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    taken = 10;
  }
  if (point <= 0 || (point >= 0xd800 && point < 0xe000)) return 0;
  char *at = *to;
  if (point < 0x80) {
    *at++ = point;
  } else {
    if (point < 0x800) {
      *at++ = 0xc0 | point >> 6;
    } else {
      if (point < 0x10000) {
        *at++ = 0xe0 | point >> 12;
      } else {
        *at++ = 0xf0 | point >> 18;
        *at++ = 0x80 | (point >> 12 & 63);
      }
      *at++ = 0x80 | (point >> 6 & 63);
    }
    *at++ = 0x80 | (point & 63);
  }
  *to = at;
  return taken;
}

char *json_string(struct json *json) {
  static const char escapes[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  if (peek(json) != '"') json->bad = true;
  if (json->bad) return NULL;
  char *start = ++json->at, *to = start, *from = start;
  while (*from != '"') {
    const char *escape;
    size_t taken;
    if ((unsigned char)*from < 0x20) {
      json->bad = true;
      return NULL;
    }
    if (*from != '\\') {
      *to++ = *from++;
    } else if (from[1] && (escape = strchr(escapes, from[1]))) {
      *to++ = values[escape - escapes];
      from += 2;
    } else if (from[1] == 'u' && (taken = decode_unicode(from + 2, &to))) {
      from += 2 + taken;
    } else {
      json->bad = true;
      return NULL;
    }
  }
  *to = 0;
  json->at = from + 1;
  json->fresh = false;
  return start;
}

char *json_key(struct json *json) {
  char *key = json_string(json);
  if (peek(json) != ':') json->bad = true;
  if (json->bad) return NULL;
  json->at++;
  return key;
}

static bool word(struct json *json, const char *expected) {
  size_t length = strlen(expected);
  peek(json);
  if (json->bad || strncmp(json->at, expected, length) != 0) return false;
  json->at += length;
  json->fresh = false;
  return true;
}

bool json_bool(struct json *json) {
  if (word(json, "true")) return true;
  if (!word(json, "false")) json->bad = true;
  return false;
}

long json_integer(struct json *json, long least, long most) {
  char next = peek(json), *end = json->at;
  errno = 0;
  long value = next == '-' || (next >= '0' && next <= '9') ? strtol(json->at, &end, 10) : 0;
  if (json->bad || end == json->at || errno || value < least || value > most || strspn(end, ".eE")) {
    json->bad = true;
    return least;
  }
  json->at = end;
  json->fresh = false;
  return value;
}

static void skip(struct json *json, int depth) {
  char next = peek(json);
  if (json->bad) return;
  if (next == '"') {
    json_string(json);
  } else if (next == '[' || next == '{') {
    char closing = next == '[' ? ']' : '}';
    if (depth == 0) json->bad = true;
    else if (json_open(json, next))
      while (json_more(json, closing)) {
        if (next == '{') json_key(json);
        skip(json, depth - 1);
      }
  } else if (!word(json, "true") && !word(json, "false") && !word(json, "null")) {
    size_t length = strspn(json->at, "+-.0123456789eE");
    json->at += length;
    json->fresh = false;
    if (length == 0) json->bad = true;
  }
}

void json_skip(struct json *json) {
  skip(json, DEPTH_MAX);
}

void json_end(struct json *json) {
  if (peek(json) != 0) json->bad = true;
}

size_t json_quote(char *to, size_t size, const char *text) {
  size_t length = 0;
  to[length++] = '"';
  /* Room for the longest escape, the quote and NUL. */
  for (; *text && length + 8 < size; text++) {
    unsigned char byte = *text;
    if (byte == '"' || byte == '\\') to[length++] = '\\';
    if (byte < 0x20 || byte == 0x7f) length += snprintf(to + length, size - length, "\\u%04x", byte);
    else to[length++] = byte;
  }
  to[length++] = '"';
  to[length] = 0;
  return length;
}

/* As much JSON as the agent needs: a reader that walks a text once, and quoting. */
#ifndef BANGER_JSON_H
#define BANGER_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Walks `at`, a text that ends with NUL. After the first error `bad` stays set and everything else does nothing. */
struct json {
  char *at;
  bool bad;
  bool fresh; /* just behind an opening bracket: no comma comes before the next value */
};

/*
 * `if (json_open(j, '[')) while (json_more(j, ']')) …one value…` walks an array; for an object use '{' and '}' and
 * begin each round with json_key.
 */
bool json_open(struct json *json, char bracket);
/* False at the closing bracket, which is consumed, or after an error. */
bool json_more(struct json *json, char bracket);
/* A string, decoded in place and ended with NUL; it must not hold one itself. NULL after an error. */
char *json_string(struct json *json);
/* A member's name with its colon. */
char *json_key(struct json *json);
bool json_bool(struct json *json);
/* A whole number between `least` and `most`. */
long json_integer(struct json *json, long least, long most);
void json_skip(struct json *json);
/* Only white space may be left. */
void json_end(struct json *json);

/* Writes `text` as a JSON string of less than `size` bytes, cut if it is longer. Returns the length. */
size_t json_quote(char *to, size_t size, const char *text);

#endif

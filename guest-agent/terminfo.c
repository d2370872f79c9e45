/* Which of the terminals that there are the guest has a description of. */
#include "spawn.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const places[] = {"/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo",
                                     "/usr/local/share/terminfo"};
#define PLACES (sizeof places / sizeof *places)

static bool describes(const char *place, const char *name) {
  char path[320];
  /* The letter's own directory, or its number on file systems that do not tell case apart. */
  snprintf(path, sizeof path, "%s/%c/%s", place, *name, name);
  if (access(path, R_OK) == 0) return true;
  snprintf(path, sizeof path, "%s/%x/%s", place, (unsigned char)*name, name);
  return access(path, R_OK) == 0;
}

static bool is_known(const char *name) {
  if (!*name || strchr(name, '/') || strlen(name) > 200) return false;
  for (size_t i = 0; i < PLACES; i++)
    if (describes(places[i], name)) return true;
  return false;
}

const char *terminal_for(const char *wanted) {
  static const char *const others[] = {"xterm-256color", "xterm", "linux", "vt100", "dumb"};
  if (is_known(wanted)) return wanted;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (is_known(others[i])) return others[i];
  /* Without any description the programs that there are look at none. */
  return wanted;
}

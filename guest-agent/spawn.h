/* Starts a process with its own session, pipes or terminal, user and environment. */
#ifndef BANGER_SPAWN_H
#define BANGER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct spawn_request {
  char **argv; /* ends with NULL */
  char **env;  /* "NAME=value", ends with NULL; what it does not name gets a default */
  const char *cwd;   /* NULL or relative: from the repository that was put into the guest, else from start */
  const char *start; /* NULL: the user's home, or / where that is absent */
  const char *user;  /* USER, UID, USER:GROUP …; NULL: root, as the agent */
  bool tty;
  unsigned short cols, rows;
};

/* Descriptors of the agent's side, non-blocking. With a terminal `in` and `out` are its master and `err` is -1. */
struct spawned {
  pid_t pid;
  int in, out, err;
  /* Ends without a byte when the program was started; else holds a spawn_failure. */
  int failure;
};

struct spawn_failure {
  enum { SPAWN_NO_USER, SPAWN_BAD_CWD, SPAWN_NO_TTY, SPAWN_NO_PROGRAM } stage;
  int error;
  char directory[1024]; /* that could not be entered, cut if it is longer */
};

/* The wanted terminal where the guest knows it, else one like it that it knows. */
const char *terminal_for(const char *wanted);

/* Returns 0, or -1 with errno when not even a process could be made. */
int spawn(const struct spawn_request *request, struct spawned *spawned);

#endif

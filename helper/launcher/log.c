/* The log of a program that goes on for ever: what it prints goes through a process which keeps the end of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

/* As src/effects/vmm/log-bound.ts has it for logs that nobody stands behind. */
enum { GROWN_BYTES = 16 << 20, KEPT_BYTES = 1 << 20, CHUNK_BYTES = 64 << 10 };

/* A full disk loses what does not fit; whoever prints is never kept waiting for room. */
static void put(const char *text, size_t length) {
  while (length > 0) {
    ssize_t written = write(STDOUT_FILENO, text, length);
    if (written < 0 && errno != EINTR) return;
    if (written > 0) text += written, length -= (size_t)written;
  }
}

/* Leaves the last whole lines of a log that has grown long. */
static void cut(off_t size) {
  static char end[KEPT_BYTES];
  ssize_t length = pread(STDOUT_FILENO, end, sizeof end, size - KEPT_BYTES);
  if (length < 0) length = 0;
  if (ftruncate(STDOUT_FILENO, 0) != 0) return;
  const char *line = memchr(end, '\n', (size_t)length);
  const char *from = line == NULL ? end : line + 1;
  put(from, (size_t)(end + length - from));
}

int keep_log(void) {
  static char chunk[CHUNK_BYTES];
  static const struct confinement nothing;
  struct stat log;
  if (fstat(STDOUT_FILENO, &log) != 0 || !S_ISREG(log.st_mode)) fail(EXIT_SYSTEM, "standard output is not a file");
  /* A limit of file sizes is no more than a full disk. */
  signal(SIGXFSZ, SIG_IGN);
  /* While it is held there may be more to come: src/effects/vmm/log-end.ts. */
  flock(STDOUT_FILENO, LOCK_EX | LOCK_NB);
  drop_privileges(&nothing);
  confine(&nothing);
  for (;;) {
    ssize_t length = read(STDIN_FILENO, chunk, sizeof chunk);
    if (length == 0) return 0;
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) fail(EXIT_SYSTEM, "standard input");
    if (fstat(STDOUT_FILENO, &log) == 0 && log.st_size > GROWN_BYTES) cut(log.st_size);
    put(chunk, (size_t)length);
  }
}

void bound_output(void) {
  struct stat log;
  int ends[2];
  if (fstat(STDOUT_FILENO, &log) != 0 || !S_ISREG(log.st_mode)) return;
  if (pipe2(ends, O_CLOEXEC) != 0) fail(EXIT_SYSTEM, "pipe");
  /* Under words of its own, and before this process goes on: those of the program would make it look like a second. */
  char *words[] = {"banger-launcher", "log", NULL};
  pid_t keeper = vfork();
  if (keeper < 0) fail(EXIT_SYSTEM, "vfork");
  if (keeper == 0) {
    dup2(ends[0], STDIN_FILENO);
    execv("/proc/self/exe", words);
    _exit(EXIT_NOT_EXECUTED);
  }
  dup2(ends[1], STDOUT_FILENO);
  close(ends[0]);
  close(ends[1]);
}

/* Puts in order what a process inherits, confines it, and becomes the program that it was given. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"

static const char usage_text[] =
    "usage: banger-launcher daemon -- PROGRAM [ARGUMENT]...\n"
    "       banger-launcher vmm [--read PATH | --write PATH]... [--offline] -- PROGRAM [ARGUMENT]...\n"
    "       banger-launcher log\n"
    "       banger-launcher kvm DEVICE\n"
    "       banger-launcher landlock\n"
    "Every path is absolute; docs/inherited.md tells what each of them does.\n";

_Noreturn void fail(int status, const char *what) {
  fprintf(stderr, "banger-launcher: %s: %s\n", what, strerror(errno));
  exit(status);
}

static _Noreturn void refuse(const char *what, const char *word) {
  fprintf(stderr, "banger-launcher: %s%s%s\n%s", what, word ? ": " : "", word ? word : "", usage_text);
  exit(EXIT_USAGE);
}

static const char *absolute(const char *path, const char *option) {
  if (path == NULL) refuse("a path is missing after", option);
  if (path[0] != '/') refuse("not an absolute path", path);
  return path;
}

static void take(const char *list[], size_t *count, const char *path) {
  if (*count == MOST_PATHS) refuse("too many paths", NULL);
  list[(*count)++] = path;
}

static _Noreturn void become(char **argv) {
  execv(argv[0], argv);
  fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTED, argv[0]);
}

/*
 * The log on standard output is locked by the one daemon that writes to it, from here until that process ends: a caller
 * that finds no daemon yet, on a machine that takes long to start one, adds none to the one on its way. A lock of this
 * kind is the process's own, whoever has the file open, and execve keeps it.
 */
static void be_the_only_one(void) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(STDOUT_FILENO, F_SETLK, &whole) == 0) return;
  /* What is not a file, or is where locks do not exist, cannot be locked. */
  if (errno == EACCES || errno == EAGAIN) exit(EXIT_ANOTHER);
}

static char **program_of(char **words) {
  if (*words == NULL || strcmp(*words, "--") != 0) refuse("-- and a program are missing", *words);
  absolute(words[1], "--");
  return words + 1;
}

static _Noreturn void launch_vmm(char **words) {
  static struct confinement allowed;
  int offline = 0;
  for (; *words != NULL && strcmp(*words, "--") != 0; words++) {
    if (strcmp(*words, "--offline") == 0) {
      offline = 1;
      continue;
    }
    const char *option = *words, *path = *++words;
    if (strcmp(option, "--read") == 0) take(allowed.read, &allowed.reads, absolute(path, option));
    else if (strcmp(option, "--write") == 0) take(allowed.write, &allowed.writes, absolute(path, option));
    else refuse("not an option of vmm", option);
  }
  char **argv = program_of(words);
  clean_process();
  bound_output();
  bound_vmm();
  if (offline) leave_network();
  drop_privileges(&allowed);
  confine(&allowed);
  become(argv);
}

int main(int count, char **words) {
  const char *mode = count > 1 ? words[1] : NULL;
  if (mode == NULL) refuse("a mode is missing", NULL);
  if (strcmp(mode, "vmm") == 0) launch_vmm(words + 2);
  if (strcmp(mode, "daemon") == 0) {
    char **argv = program_of(words + 2);
    be_the_only_one();
    reset_attributes();
    become(argv);
  }
  if (strcmp(mode, "log") == 0 && count == 2) return keep_log();
  if (strcmp(mode, "kvm") == 0 && count == 3) return try_kvm(absolute(words[2], mode));
  if (strcmp(mode, "landlock") == 0 && count == 2) return printf("%d\n", landlock_version()) > 0 ? 0 : EXIT_SYSTEM;
  refuse("not a mode, or not its arguments", mode);
}

/* fork and exec, with everything that a child must not inherit from the agent undone. */
#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pty.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { IN, OUT, ERR, FAILURE, PIPES };

/* The agent's and the child's end of each. */
struct ends {
  int ours[PIPES], theirs[PIPES];
};

static void close_ends(int ends[PIPES]) {
  for (int i = 0; i < PIPES; i++)
    if (ends[i] >= 0) close(ends[i]);
}

static int open_pipe(struct ends *ends, int which, bool we_write) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return -1;
  ends->ours[which] = fds[we_write ? 1 : 0];
  ends->theirs[which] = fds[we_write ? 0 : 1];
  return fcntl(ends->ours[which], F_SETFL, O_NONBLOCK);
}

static int open_terminal(struct ends *ends, const struct spawn_request *request) {
  struct winsize size = {.ws_col = request->cols, .ws_row = request->rows};
  int master, slave;
  if (openpty(&master, &slave, NULL, NULL, &size) < 0) return -1;
  ends->ours[OUT] = master;
  ends->theirs[IN] = slave;
  if (fcntl(master, F_SETFD, FD_CLOEXEC) < 0 || fcntl(slave, F_SETFD, FD_CLOEXEC) < 0) return -1;
  ends->ours[IN] = fcntl(master, F_DUPFD_CLOEXEC, 3);
  return ends->ours[IN] < 0 ? -1 : fcntl(master, F_SETFL, O_NONBLOCK);
}

static _Noreturn void fail_in(int fd, int stage, int error, const char *directory) {
  struct spawn_failure failure = {.stage = stage, .error = error};
  snprintf(failure.directory, sizeof failure.directory, "%s", directory);
  ssize_t written = write(fd, &failure, sizeof failure);
  _exit(written == sizeof failure ? 127 : 126);
}

static _Noreturn void fail(int fd, int stage, int error) {
  fail_in(fd, stage, error, "");
}

static void default_signals(void) {
  sigset_t none;
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The agent may be spared by the out-of-memory killer; what it runs is not. */
static void default_oom_score(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t written = write(fd, "0", 1);
  (void)written;
  close(fd);
}

static void set_default(const char *name, const char *value) {
  setenv(name, value, 0);
}

/* A whole number of an id, or -1. */
static long number_of(const char *text) {
  char *end;
  if (*text < '0' || *text > '9') return -1;
  unsigned long number = strtoul(text, &end, 10);
  return *end || number >= 0xffffffffUL ? -1 : (long)number;
}

/* Becomes a user, and maybe a group after a colon, each by name or number, as container images have them. As with
   containers a number need not be anybody's, and a group that is given is the only one. The terminal becomes the
   user's. Returns 0, or -1. */
static int become_user(const char *text, bool tty, const struct passwd **user) {
  char name[256];
  size_t length = strcspn(text, ":");
  const char *group = text[length] ? text + length + 1 : NULL;
  if (length >= sizeof name) return -1;
  memcpy(name, text, length);
  name[length] = '\0';
  long uid = length == 0 ? 0 : number_of(name), gid = -1;
  errno = 0;
  *user = uid < 0 ? getpwnam(name) : getpwuid((uid_t)uid);
  if (!*user && uid < 0) return -1;
  if (*user) uid = (*user)->pw_uid;
  if (group && *group) {
    const struct group *known = getgrnam(group);
    gid = known ? (long)known->gr_gid : number_of(group);
    if (gid < 0) return -1;
  } else {
    group = NULL;
    gid = *user ? (long)(*user)->pw_gid : 0;
  }
  if (tty && fchown(0, (uid_t)uid, -1) < 0) return -1;
  gid_t only = (gid_t)gid;
  int grouped = *user && !group ? initgroups((*user)->pw_name, only) : setgroups(1, &only);
  return grouped < 0 || setgid(only) < 0 || setuid((uid_t)uid) < 0 ? -1 : 0;
}

/* What the host handed in for every command of this guest, as the seed has it: NAME=VALUE, a line each. */
static void set_handed_in(void) {
  FILE *file = fopen("/etc/banger/environment", "re");
  if (!file) return;
  char *line = NULL;
  size_t size = 0;
  for (ssize_t length; (length = getline(&line, &size, file)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    char *value = strchr(line, '=');
    if (!value || value == line) continue;
    *value++ = '\0';
    set_default(line, value);
  }
  free(line);
  fclose(file);
}

static void enter_environment(const struct spawn_request *request, const struct passwd *user) {
  environ = request->env;
  set_default("HOME", user ? user->pw_dir : request->user ? "/" : "/root");
  if (user || !request->user) set_default("USER", user ? user->pw_name : "root");
  set_default("PATH", DEFAULT_PATH);
  set_default("LANG", "C.UTF-8");
  set_handed_in();
  if (!request->tty) return;
  const char *wanted = getenv("TERM");
  setenv("TERM", terminal_for(wanted && *wanted ? wanted : "xterm-256color"), 1);
}

/* The repository that was put into the guest last, as src/workspace/marks.ts has it; fails where there is none. */
static int enter_repository(void) {
  char path[PATH_MAX + 1];
  snprintf(path, sizeof path, "%s/.local/state/banger/repository", getenv("HOME"));
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -1;
  ssize_t length = read(fd, path, PATH_MAX);
  close(fd);
  if (length <= 0 || path[0] != '/') return -1;
  path[length] = '\0';
  return chdir(path);
}

/* A default directory that has gone is no reason not to run; a requested one is. */
static void enter_directory(const char *cwd, const char *start, int failure) {
  if (!cwd || cwd[0] != '/') {
    if (enter_repository() < 0 && (!start || chdir(start) < 0) && chdir(getenv("HOME")) < 0 && chdir("/") < 0)
      fail_in(failure, SPAWN_BAD_CWD, errno, "/");
  }
  if (!cwd || chdir(cwd) == 0) return;
  int error = errno;
  char from[PATH_MAX] = "", whole[2 * PATH_MAX];
  if (cwd[0] != '/' && !getcwd(from, sizeof from)) from[0] = '\0';
  snprintf(whole, sizeof whole, "%s%s%s", from, from[0] && from[1] ? "/" : "", cwd);
  fail_in(failure, SPAWN_BAD_CWD, error, whole);
}

/* In the child: makes it what was asked for, and runs the program. */
static _Noreturn void become(const struct spawn_request *request, const int theirs[PIPES]) {
  int failure = fcntl(theirs[FAILURE], F_DUPFD_CLOEXEC, 10);
  default_signals();
  setsid();
  default_oom_score();
  setpriority(PRIO_PROCESS, 0, 0);
  if (request->tty && ioctl(theirs[IN], TIOCSCTTY, 0) < 0) fail(failure, SPAWN_NO_TTY, errno);
  /* A descriptor that already is 0, 1 or 2 must not be overwritten before it was used; nor keep its close-on-exec. */
  int standard[3];
  for (int i = 0; i < 3; i++) standard[i] = fcntl(theirs[request->tty ? IN : i], F_DUPFD_CLOEXEC, 10);
  for (int i = 0; i < 3; i++) dup2(standard[i], i);

  const struct passwd *user = NULL;
  if (request->user) {
    if (become_user(request->user, request->tty, &user) < 0) fail(failure, SPAWN_NO_USER, errno);
  }
  enter_environment(request, user);
  enter_directory(request->cwd, request->start, failure);
  execvp(request->argv[0], request->argv);
  fail(failure, SPAWN_NO_PROGRAM, errno);
}

int spawn(const struct spawn_request *request, struct spawned *spawned) {
  struct ends ends = {{-1, -1, -1, -1}, {-1, -1, -1, -1}};
  int made = open_pipe(&ends, FAILURE, false);
  if (made == 0 && request->tty) made = open_terminal(&ends, request);
  if (made == 0 && !request->tty)
    made = open_pipe(&ends, IN, true) < 0 || open_pipe(&ends, OUT, false) < 0 || open_pipe(&ends, ERR, false) < 0;
  pid_t pid = made == 0 ? fork() : -1;
  if (pid == 0) become(request, ends.theirs);
  int error = errno;
  close_ends(ends.theirs);
  if (pid < 0) {
    close_ends(ends.ours);
    errno = error;
    return -1;
  }
  *spawned = (struct spawned){pid, ends.ours[IN], ends.ours[OUT], ends.ours[ERR], ends.ours[FAILURE]};
  return 0;
}

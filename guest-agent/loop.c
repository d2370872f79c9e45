/* The event loop: one poll(2) per round over what everybody wants, and the children it watches over. */
#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Two carriers of 64 streams and 64 commands without one, of at most 4 descriptors each, and the few of the agent. */
#define WANTED_MAX 1024
#define LONGEST_WAIT_MS 60000
#define HANGUP_GRACE_MS 2000

static struct pollfd wanted[WANTED_MAX];
static struct source *owners[WANTED_MAX];
static nfds_t count;
static int64_t deadline_ms;
static struct source child_signals = {.fd = -1};
static struct child *children;

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loop_begin(void) {
  count = 0;
  deadline_ms = now_ms() + LONGEST_WAIT_MS;
}

void loop_want(struct source *source, short events) {
  source->ready = 0;
  if (source->fd < 0 || count == WANTED_MAX) return;
  owners[count] = source;
  wanted[count++] = (struct pollfd){.fd = source->fd, .events = events};
}

void loop_until(int64_t at_ms) {
  if (at_ms < deadline_ms) deadline_ms = at_ms;
}

void loop_wait(void) {
  int64_t wait = deadline_ms - now_ms();
  int ready = poll(wanted, count, wait < 0 ? 0 : (int)wait);
  for (nfds_t i = 0; i < count && ready > 0; i++) owners[i]->ready = wanted[i].revents;
}

void source_close(struct source *source) {
  if (source->fd >= 0) close(source->fd);
  source->fd = -1;
  source->ready = 0;
}

int children_start(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
  child_signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  return child_signals.fd < 0 ? -1 : 0;
}

static void note_exit(struct child *child) {
  siginfo_t info = {0};
  if (waitid(P_PID, child->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
    /* Somebody else reaped it, which nothing here does: as good as ended. */
    child->exited = true;
    return;
  }
  if (info.si_pid == 0) return;
  child->exited = true;
  if (info.si_code == CLD_EXITED)
    child->code = info.si_status;
  else
    child->signal = info.si_status;
}

void children_check(void) {
  struct signalfd_siginfo drained[8];
  if (child_signals.ready)
    while (read(child_signals.fd, drained, sizeof drained) > 0) continue;
  bool look = child_signals.ready;
  int64_t now = now_ms();
  for (struct child **at = &children; *at;) {
    struct child *child = *at;
    if (look && !child->exited) note_exit(child);
    if (child->kill_at_ms && child->kill_at_ms <= now) {
      child_signal(child, SIGKILL);
      child->kill_at_ms = 0;
    }
    if (child->released && child->exited && !child->kill_at_ms) {
      waitpid(child->pid, NULL, WNOHANG);
      *at = child->next;
      free(child);
    } else {
      at = &child->next;
    }
  }
}

void children_watch(void) {
  loop_want(&child_signals, POLLIN);
  for (struct child *child = children; child; child = child->next)
    if (child->kill_at_ms) loop_until(child->kill_at_ms);
}

struct child *child_new(pid_t pid) {
  struct child *child = calloc(1, sizeof *child);
  if (!child) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return NULL;
  }
  child->pid = pid;
  child->next = children;
  children = child;
  return child;
}

void child_signal(struct child *child, int number) {
  /* Before the child has made its session there is no such group, only the process. */
  if (kill(-child->pid, number) < 0 && errno == ESRCH) kill(child->pid, number);
}

void child_release(struct child *child) {
  child->released = true;
}

void child_condemn(struct child *child) {
  child_signal(child, SIGHUP);
  child->kill_at_ms = now_ms() + HANGUP_GRACE_MS;
  child->released = true;
}

/* What a process gets from whoever called it, put back to what it is for a process of nobody in particular. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

/* Not in every libc's headers; linux/close_range.h, linux/ioprio.h and linux/mempolicy.h have them. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
enum { IOPRIO_WHO_PROCESS = 1, MPOL_DEFAULT = 0 };

/* Enough for a daemon of a thousand VMs; programs that close every number up to the limit still do so quickly. */
enum { DAEMON_FILES = 65536, VMM_FILES = 4096, STACK_BYTES = 8 << 20, VMM_OOM_SCORE = 500 };
/* What Node needs to start a daemon at all. */
enum { LEAST_FILES = 128 };

/* An attribute that stays the caller's: who wants another can only start the daemon from elsewhere. */
static void stays(const char *what) {
  fprintf(stderr, "banger-launcher: %s stays as the caller has it: %s\n", what, strerror(errno));
}

static void close_descriptors(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) fail(EXIT_SYSTEM, "/dev/null");
  if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0) return;
  /* Linux before 5.9. The limit bounds no descriptor that was opened before it was lowered. */
  for (int fd = 3; fd < 1 << 20; fd++) close(fd);
}

static void reset_signals(void) {
  /* Asked of the kernel: a libc keeps the signals that its threads use, and they are inherited like the others. */
  static const unsigned long standard[4];
  for (int number = 1; number <= 64; number++) syscall(SYS_rt_sigaction, number, standard, NULL, 8);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void reset_scheduling(void) {
  struct sched_param standard = {0};
  /* musl's own refuses, for POSIX means another thing by it. */
  if (syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &standard) != 0) stays("the scheduling policy");
  errno = 0;
  if (getpriority(PRIO_PROCESS, 0) != 0 && setpriority(PRIO_PROCESS, 0, 0) != 0) stays("the nice value");
  if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) != 0) stays("the I/O class");
  /* The kernel leaves of it what the cpuset allows. */
  unsigned long all[128];
  memset(all, 0xff, sizeof all);
  if (syscall(SYS_sched_setaffinity, 0, sizeof all, all) < 0) stays("the CPU affinity");
  if (syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0UL) != 0 && errno != ENOSYS) stays("the memory policy");
}

/* Raises the limit to `wanted`, or as far as its owner may. */
static void raise_limit(int limit, rlim_t wanted, const char *name) {
  struct rlimit now, better = {wanted, wanted};
  if (getrlimit(limit, &now) != 0) return;
  if (wanted != RLIM_INFINITY && now.rlim_max > wanted) better.rlim_max = now.rlim_max;
  if (setrlimit(limit, &better) == 0) return;
  /* Few hosts give everybody the most that is asked for; a VMM's worth is enough to stay silent. */
  if (limit != RLIMIT_NOFILE || now.rlim_max < VMM_FILES) stays(name);
  now.rlim_cur = now.rlim_max;
  setrlimit(limit, &now);
}

static void fix_limit(int limit, rlim_t most) {
  struct rlimit now;
  if (getrlimit(limit, &now) != 0) return;
  if (now.rlim_max > most) now.rlim_max = most;
  now.rlim_cur = now.rlim_max;
  if (setrlimit(limit, &now) != 0) fail(EXIT_SYSTEM, "setrlimit");
}

static void reset_limits(void) {
  raise_limit(RLIMIT_CPU, RLIM_INFINITY, "the limit of processor time (ulimit -t)");
  raise_limit(RLIMIT_FSIZE, RLIM_INFINITY, "the limit of file sizes (ulimit -f)");
  raise_limit(RLIMIT_DATA, RLIM_INFINITY, "the limit of data (ulimit -d)");
  raise_limit(RLIMIT_AS, RLIM_INFINITY, "the limit of address space (ulimit -v)");
  raise_limit(RLIMIT_STACK, STACK_BYTES, "the limit of the stack (ulimit -s)");
  raise_limit(RLIMIT_NOFILE, DAEMON_FILES, "the limit of open files (ulimit -n)");
  struct rlimit processes;
  if (getrlimit(RLIMIT_NPROC, &processes) == 0) {
    processes.rlim_cur = processes.rlim_max;
    setrlimit(RLIMIT_NPROC, &processes);
  }
}

static int write_score(int score) {
  char text[16];
  int length = snprintf(text, sizeof text, "%d", score);
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  int written = fd >= 0 && write(fd, text, (size_t)length) == length;
  if (fd >= 0) close(fd);
  return written;
}

void clean_process(void) {
  close_descriptors();
  reset_signals();
  umask(077);
  /* A core would be what their users keep to themselves. */
  fix_limit(RLIMIT_CORE, 0);
}

void reset_attributes(void) {
  clean_process();
  reset_scheduling();
  reset_limits();
  /* A caller under a debugger's or an old program's personality has no address randomization, among others. */
  if (personality(PER_LINUX) < 0) stays("the personality");
  prctl(PR_SET_TIMERSLACK, 50000UL, 0, 0, 0);
  prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  if (!write_score(0)) stays("the order of the out-of-memory killer");
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= LEAST_FILES) return;
  fprintf(stderr, "banger-launcher: the limit of open files (ulimit -n) is %llu; at least %d are needed\n",
          (unsigned long long)files.rlim_cur, LEAST_FILES);
  exit(EXIT_SYSTEM);
}

void bound_vmm(void) {
  fix_limit(RLIMIT_NOFILE, VMM_FILES);
  /* When memory is short the guests go before the daemon and before what else their user runs. */
  write_score(VMM_OOM_SCORE);
}

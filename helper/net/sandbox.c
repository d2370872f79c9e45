/* What is left of the system to this process once it is set up: its sockets, and new ones of IPv4. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net.h"

/* linux/landlock.h, of a kernel newer than the headers of the oldest Debian that this is built on. */
enum { CREATE_RULESET = 444, RESTRICT_SELF = 446, CREATE_RULESET_VERSION = 1 };
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0, SCOPE_SIGNAL = 1 << 1 };

bool has_landlock;

static void fix_limit(int limit, rlim_t most) {
  struct rlimit now;
  if (getrlimit(limit, &now) != 0) fail("getrlimit");
  if (now.rlim_max < most) most = now.rlim_max;
  now.rlim_cur = now.rlim_max = most;
  if (setrlimit(limit, &now) != 0) fail("setrlimit");
}

void limit(void) {
  fix_limit(RLIMIT_NOFILE, DESCRIPTORS_MOST);
  fix_limit(RLIMIT_CORE, 0);
  /* Each connection has two buffers, of which mostly a page is used. */
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

/* No rule stands in it: no file is opened, none is made. */
static bool close_files(void) {
  long version = syscall(CREATE_RULESET, NULL, 0UL, (unsigned)CREATE_RULESET_VERSION);
  if (version < 1) return false;
  int rights = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
  struct {
    uint64_t files, net, scoped;
  } ruleset = {(UINT64_C(1) << rights) - 1, 0, version >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0};
  int fd = (int)syscall(CREATE_RULESET, &ruleset, version >= 6 ? 24UL : version >= 4 ? 16UL : 8UL, 0U);
  if (fd < 0 || syscall(RESTRICT_SELF, fd, 0U) != 0) fail("landlock");
  syscall(SYS_close, fd);
  return true;
}

static struct sock_filter program[256];
static unsigned short length;

static void add(uint16_t code, uint32_t value, uint8_t yes, uint8_t no) {
  program[length++] = (struct sock_filter){code, yes, no, value};
}
static void load(size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0); }
static void answer(uint32_t what) { add(BPF_RET | BPF_K, what, 0, 0); }
static uint32_t refused(int error) { return SECCOMP_RET_ERRNO | (uint32_t)error; }

static void allow(int call) {
  add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
  answer(SECCOMP_RET_ALLOW);
}

static void refuse_call(int call, int error) {
  add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
  answer(refused(error));
}

static size_t argument(int number) { return offsetof(struct seccomp_data, args) + 8 * (size_t)number; }

/* Allowed where the low half of that argument is one of two values. */
static void allow_with(int call, int number, uint32_t one, uint32_t other, uint32_t otherwise) {
  add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 5);
  load(argument(number));
  add(BPF_JMP | BPF_JEQ | BPF_K, one, 1, 0);
  add(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1);
  answer(SECCOMP_RET_ALLOW);
  answer(otherwise);
}

/* Allowed where no bit of `bits` is set in that argument. */
static void allow_without(int call, int number, uint32_t bits, uint32_t otherwise) {
  add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4);
  load(argument(number));
  add(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0);
  answer(SECCOMP_RET_ALLOW);
  answer(otherwise);
}

static void restrict_calls(void) {
  static const int calls[] = {
      SYS_read,        SYS_write,       SYS_recvfrom,     SYS_recvmsg,       SYS_recvmmsg,     SYS_sendmmsg,
      SYS_sendto,      SYS_poll,        SYS_ppoll,        SYS_connect,       SYS_bind,         SYS_listen,
      SYS_accept4,     SYS_shutdown,    SYS_close,        SYS_getsockname,   SYS_getpeername,  SYS_getsockopt,
      SYS_setsockopt,  SYS_fstat,       SYS_clock_gettime, SYS_getrandom,    SYS_brk,          SYS_munmap,
      SYS_mremap,      SYS_madvise,     SYS_futex,        SYS_rt_sigreturn,  SYS_restart_syscall, SYS_exit_group,
  };
  load(offsetof(struct seccomp_data, arch));
  add(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
  answer(SECCOMP_RET_KILL_PROCESS);
  load(offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) allow(calls[i]);
  allow_with(SYS_socket, 0, AF_INET, AF_INET, refused(EAFNOSUPPORT));
  allow_with(SYS_ioctl, 1, FIONREAD, FIONBIO, refused(EPERM));
  allow_with(SYS_fcntl, 1, F_GETFL, F_SETFL, refused(EPERM));
  /* Never memory that can be executed. */
  allow_without(SYS_mmap, 2, PROT_EXEC, SECCOMP_RET_KILL_PROCESS);
  /* A library that looks for a file of the system's does without. */
  refuse_call(SYS_openat, EACCES);
  refuse_call(SYS_newfstatat, EACCES);
  answer(SECCOMP_RET_KILL_PROCESS);
  struct sock_fprog filter = {length, program};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) fail("seccomp");
}

bool confine(void) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
  bool landlock = close_files();
  restrict_calls();
  return landlock;
}

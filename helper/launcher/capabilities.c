/* Root's capabilities: a VMM needs none of those that would let it change the host. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

/* linux/capability.h */
enum { FACCESSAT2 = 439 };
enum { DAC_OVERRIDE = 1, NET_BIND_SERVICE = 10, HIGHEST = 63 };
struct header {
  uint32_t version;
  int pid;
};
struct data {
  uint32_t effective, permitted, inheritable;
};
enum { VERSION_3 = 0x20080522 };

static void set_effective(uint64_t effective, uint64_t permitted) {
  struct header header = {VERSION_3, 0};
  struct data data[2] = {
      {(uint32_t)effective, (uint32_t)permitted, 0},
      {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), 0},
  };
  if (syscall(SYS_capset, &header, data) != 0) fail(EXIT_SYSTEM, "capset");
}

static uint64_t permitted_now(void) {
  struct header header = {VERSION_3, 0};
  struct data data[2];
  if (syscall(SYS_capget, &header, data) != 0) fail(EXIT_SYSTEM, "capget");
  return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

/*
 * By the effective capabilities, which are none then: owner, group and mode alone decide. The older call, which the C
 * library would make, lets root's permitted ones count.
 */
static int reaches(const char *path, int mode) {
  return syscall(FACCESSAT2, AT_FDCWD, path, mode, AT_EACCESS) == 0 || errno != EACCES;
}

static int reaches_all(const struct confinement *allowed) {
  for (size_t i = 0; i < allowed->reads; i++)
    if (!reaches(allowed->read[i], R_OK)) return 0;
  for (size_t i = 0; i < allowed->writes; i++)
    if (!reaches(allowed->write[i], R_OK | W_OK)) return 0;
  return 1;
}

void drop_privileges(const struct confinement *allowed) {
  uint64_t had = permitted_now();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail(EXIT_SYSTEM, "no_new_privs");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) fail(EXIT_SYSTEM, "ambient capabilities");
  if (had == 0) return;
  set_effective(0, had);
  /* A low port of the guest keeps its number on the host. Root in a home of somebody else enters it by the second. */
  uint64_t kept = UINT64_C(1) << NET_BIND_SERVICE;
  if (!reaches_all(allowed)) kept |= UINT64_C(1) << DAC_OVERRIDE;
  kept &= had;
  set_effective(had, had);
  for (int each = 0; each <= HIGHEST; each++)
    if (!(kept >> each & 1) && prctl(PR_CAPBSET_DROP, each, 0, 0, 0) != 0 && errno != EINVAL && errno != EPERM)
      fail(EXIT_SYSTEM, "bounding set");
  set_effective(kept, kept);
}

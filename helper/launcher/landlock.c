/* Landlock: of all files, a confined program opens those below the paths that it was given, and no others. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

/* linux/landlock.h, of a kernel newer than the headers of the oldest Debian that this is built on. */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 };
enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };
enum {
  EXECUTE = 1 << 0,
  WRITE_FILE = 1 << 1,
  READ_FILE = 1 << 2,
  READ_DIR = 1 << 3,
  REMOVE_FILE = 1 << 5,
  MAKE_REG = 1 << 8,
  MAKE_SOCK = 1 << 9,
  TRUNCATE = 1 << 14,
  IOCTL_DEV = 1 << 15,
};
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0, SCOPE_SIGNAL = 1 << 1 };

struct ruleset {
  uint64_t files, net, scoped;
};
struct beneath {
  uint64_t allowed;
  int32_t parent;
} __attribute__((packed));

static const uint64_t on_files = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
static const uint64_t reading = EXECUTE | READ_FILE | READ_DIR;
/* No links, which could lead the daemon astray when it looks into the VM's directory, and nothing to execute. */
static const uint64_t writing =
    READ_FILE | READ_DIR | WRITE_FILE | REMOVE_FILE | MAKE_REG | MAKE_SOCK | TRUNCATE | IOCTL_DEV;

int landlock_version(void) {
  long version = syscall(CREATE_RULESET, NULL, 0UL, (unsigned)CREATE_RULESET_VERSION);
  return version < 0 ? 0 : (int)version;
}

/* Everything that this version can refuse. Its rules for TCP know ports and no addresses, which is of no use here. */
static struct ruleset ruleset_of(int version) {
  int rights = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
  return (struct ruleset){
      .files = (UINT64_C(1) << rights) - 1,
      .scoped = version >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0,
  };
}

/* The attribute's size in that version: an older kernel refuses fields that it does not know. */
static size_t size_for(int version) { return version >= 6 ? 24 : version >= 4 ? 16 : 8; }

static void allow(int ruleset, const char *path, uint64_t rights) {
  int fd = open(path, O_PATH | O_CLOEXEC);
  struct stat found;
  /* Not every host has each of the system's directories; a program that needs what is missing says so itself. */
  if (fd < 0) return;
  if (fstat(fd, &found) != 0) fail(EXIT_SYSTEM, path);
  struct beneath rule = {.allowed = S_ISDIR(found.st_mode) ? rights : rights & on_files, .parent = fd};
  if (syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0U) != 0) fail(EXIT_SYSTEM, path);
  close(fd);
}

int confine(const struct confinement *allowed) {
  int version = landlock_version();
  if (version == 0) return 0;
  struct ruleset wanted = ruleset_of(version);
  int ruleset = (int)syscall(CREATE_RULESET, &wanted, size_for(version), 0U);
  if (ruleset < 0) fail(EXIT_SYSTEM, "landlock_create_ruleset");
  for (size_t i = 0; i < allowed->reads; i++) allow(ruleset, allowed->read[i], reading & wanted.files);
  for (size_t i = 0; i < allowed->writes; i++) allow(ruleset, allowed->write[i], writing & wanted.files);
  if (syscall(RESTRICT_SELF, ruleset, 0U) != 0) fail(EXIT_SYSTEM, "landlock_restrict_self");
  close(ruleset);
  return 1;
}

/* Unpacks the seed, a plain ustar archive that gives one VM its identity, over the guest's root at each boot. */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK 512
#define PATH_SIZE 260 /* prefix (155) + "/" + name (100) + NUL */

/* From <linux/openat2.h>, which musl-gcc does not reach. */
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_IN_ROOT 0x10
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

struct open_how {
  uint64_t flags, mode, resolve;
};

struct header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, linkname[100];
  char magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8], prefix[155], pad[12];
};

struct entry {
  char path[PATH_SIZE], target[101];
  char type;
  char once;   /* only where there is nothing of that name */
  char placed; /* only where its directory is there */
  char append; /* to the end of the file that is there, unless it holds it */
  mode_t mode;
  uid_t uid;
  gid_t gid;
  uint64_t size;
};

static int read_all(int fd, void *buffer, size_t length) {
  char *at = buffer;
  while (length) {
    ssize_t got = read(fd, at, length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (got == 0) errno = ENODATA;
      return -1;
    }
    at += got;
    length -= got;
  }
  return 0;
}

static uint64_t octal(const char *field, size_t length) {
  uint64_t value = 0;
  for (size_t i = 0; i < length && field[i]; i++)
    if (field[i] >= '0' && field[i] <= '7') value = value * 8 + (field[i] - '0');
  return value;
}

static int checksum_ok(const struct header *header) {
  const unsigned char *bytes = (const void *)header;
  size_t start = offsetof(struct header, checksum);
  unsigned sum = 0;
  for (size_t i = 0; i < BLOCK; i++) sum += i >= start && i < start + 8 ? ' ' : bytes[i];
  return sum == octal(header->checksum, sizeof header->checksum);
}

static void parse(const struct header *header, struct entry *entry) {
  if (header->prefix[0])
    snprintf(entry->path, PATH_SIZE, "%.155s/%.100s", header->prefix, header->name);
  else
    snprintf(entry->path, PATH_SIZE, "%.100s", header->name);
  snprintf(entry->target, sizeof entry->target, "%.100s", header->linkname);
  entry->type = header->type ? header->type : '0';
  entry->mode = octal(header->mode, sizeof header->mode) & 07777;
  entry->once = (entry->mode & S_ISVTX) != 0;
  entry->placed = (entry->mode & S_ISUID) != 0;
  entry->append = (entry->mode & S_ISGID) != 0;
  entry->mode &= 0777;
  entry->uid = octal(header->uid, sizeof header->uid);
  entry->gid = octal(header->gid, sizeof header->gid);
  entry->size = octal(header->size, sizeof header->size);
}

/* Makes the path relative and without trailing or doubled slashes; refuses `..`. An empty path is the root itself. */
static int normalize(char *path) {
  char clean[PATH_SIZE] = "";
  size_t length = 0;
  for (char *save, *part = strtok_r(path, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
    if (!strcmp(part, "..")) return -1;
    if (!strcmp(part, ".")) continue;
    length += snprintf(clean + length, sizeof clean - length, "%s%s", length ? "/" : "", part);
  }
  strcpy(path, clean);
  return 0;
}

/* Opens a path as if `root` were the file system's root, so that no symbolic link leads out of it. */
static int open_at_root(int root, const char *path, int flags) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

static int open_in_root(int root, const char *path) {
  return open_at_root(root, path, O_RDONLY | O_DIRECTORY);
}

/* Opens the directory `path`, made with mode 0755 where it, or one above it, is missing. */
static int open_directory(int root, char *path) {
  int fd = open_in_root(root, path);
  if (fd >= 0 || errno != ENOENT || !*path) return fd;
  char *slash = strrchr(path, '/');
  const char *leaf = slash ? slash + 1 : path;
  int parent;
  if (slash) {
    *slash = 0;
    parent = open_directory(root, path);
    *slash = '/';
  } else {
    parent = open_in_root(root, "");
  }
  if (parent < 0) return -1;
  int made = mkdirat(parent, leaf, 0755);
  int error = errno;
  close(parent);
  errno = error;
  return made < 0 && errno != EEXIST ? -1 : open_in_root(root, path);
}

/* Copies `size` bytes to a new file beside `leaf` and renames it into place: a reader never sees half a file. */
static int put_file(int archive, int parent, const char *leaf, const struct entry *entry, uint64_t *taken) {
  static const char temporary[] = ".banger-seed.tmp";
  static char buffer[64 * 1024];
  unlinkat(parent, temporary, 0);
  int fd = openat(parent, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  while (*taken < entry->size) {
    size_t part = entry->size - *taken < sizeof buffer ? entry->size - *taken : sizeof buffer;
    if (read_all(archive, buffer, part) < 0) goto fail;
    *taken += part;
    if (write(fd, buffer, part) != (ssize_t)part) goto fail;
  }
  if (fchown(fd, entry->uid, entry->gid) < 0 || fchmod(fd, entry->mode) < 0) goto fail;
  close(fd);
  if (renameat(parent, temporary, parent, leaf) == 0) return 0;
  fd = -1;
fail:;
  int error = errno;
  if (fd >= 0) close(fd);
  unlinkat(parent, temporary, 0);
  errno = error;
  return -1;
}

static int put_symlink(int parent, const char *leaf, const struct entry *entry) {
  if (unlinkat(parent, leaf, 0) < 0 && errno != ENOENT) return -1;
  if (symlinkat(entry->target, parent, leaf) < 0) return -1;
  return fchownat(parent, leaf, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW);
}

/* Reads the content, and adds it to the file behind `fd`, on a line of its own, unless it is somewhere in it. */
static int append_to(int fd, int archive, const struct entry *entry, uint64_t *taken) {
  struct stat status;
  if (fstat(fd, &status) < 0) return -1;
  if (!S_ISREG(status.st_mode)) {
    errno = EINVAL;
    return -1;
  }
  size_t size = entry->size, has = status.st_size;
  char *text = malloc(has + size + 1), *added = text ? text + has + 1 : NULL;
  if (!text) return -1;
  int result = -1;
  if (read_all(archive, added, size) < 0) goto end;
  *taken = size;
  if (read_all(fd, text, has) < 0) goto end;
  result = 0;
  if (memmem(text, has, added, size)) goto end;
  if (has && text[has - 1] != '\n') *--added = '\n', size++;
  if (write(fd, added, size) == (ssize_t)size) goto end;
  result = -1;
  if (ftruncate(fd, has) < 0) init_say(errno, "seed: /%s ends with half of what was added", entry->path);
end:;
  int error = errno;
  free(text);
  errno = error;
  return result;
}

/* Nobody reads the file yet: at this moment of the boot nothing else runs. */
static int append_file(int archive, int root, const struct entry *entry, uint64_t *taken) {
  int fd = open_at_root(root, entry->path, O_RDWR | O_APPEND);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  int result = append_to(fd, archive, entry, taken);
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

/* Whether the directory that the path would be in is there. */
static int has_place(int root, const char *path) {
  char directory[PATH_SIZE];
  const char *slash = strrchr(path, '/');
  snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) : 0, path);
  int fd = open_in_root(root, directory);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static int put_directory(int root, struct entry *entry) {
  int fd = entry->once ? open_in_root(root, entry->path) : -1;
  if (fd >= 0) return close(fd);
  fd = open_directory(root, entry->path);
  if (fd < 0) return -1;
  int result = fchown(fd, entry->uid, entry->gid) < 0 ? -1 : fchmod(fd, entry->mode);
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

/* Writes one entry; `taken` counts the bytes of its content that were read from the archive. */
static int put(int archive, int root, struct entry *entry, uint64_t *taken) {
  if (entry->placed && !has_place(root, entry->path)) return 0;
  if (entry->type == '5') return put_directory(root, entry);
  if (entry->append) return append_file(archive, root, entry, taken);
  char *slash = strrchr(entry->path, '/');
  if (slash) *slash = 0;
  const char *leaf = slash ? slash + 1 : entry->path;
  char here[] = "";
  int parent = open_directory(root, slash ? entry->path : here);
  if (parent < 0) return -1;
  int result = 0;
  if (entry->once && faccessat(parent, leaf, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    ; /* what the guest has stays */
  else if (entry->type == '2')
    result = put_symlink(parent, leaf, entry);
  else
    result = put_file(archive, parent, leaf, entry, taken);
  int error = errno;
  close(parent);
  if (slash) *slash = '/';
  errno = error;
  return result;
}

static int skip(int fd, uint64_t length) {
  char buffer[4096];
  while (length) {
    size_t part = length < sizeof buffer ? length : sizeof buffer;
    if (read_all(fd, buffer, part) < 0) return -1;
    length -= part;
  }
  return 0;
}

int seed_unpack(int archive, int root) {
  struct header header;
  struct entry entry;
  int refused = 0;
  for (;;) {
    if (read_all(archive, &header, BLOCK) < 0) return -1;
    if (!header.name[0]) return refused;
    if (memcmp(header.magic, "ustar", 5) || !checksum_ok(&header)) {
      errno = EBADMSG;
      return -1;
    }
    parse(&header, &entry);
    uint64_t taken = 0, whole = (entry.size + BLOCK - 1) / BLOCK * BLOCK;
    if (normalize(entry.path) < 0) {
      init_say(0, "seed: refused a path with '..'");
      refused++;
    } else if (!strchr("025", entry.type)) {
      init_say(0, "seed: %s has the unknown type '%c'", entry.path, entry.type);
      refused++;
    } else if ((*entry.path || entry.type == '5') && put(archive, root, &entry, &taken) < 0) {
      init_say(errno, "seed: cannot write /%s", entry.path);
      refused++;
    }
    if (skip(archive, whole - taken) < 0) return -1;
  }
}

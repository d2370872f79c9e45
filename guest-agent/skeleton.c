/* Fills a fresh work disk with what the image has in the directory that the disk is about to cover. */
#define _GNU_SOURCE
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAXIMUM_DEPTH 32

static int copy_content(int from, int to, const char *name, const struct stat *status) {
  int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  int out = in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int result = out < 0 ? -1 : 0;
  for (off_t left = status->st_size; result == 0 && left > 0;) {
    ssize_t sent = sendfile(out, in, NULL, left);
    if (sent <= 0) result = -1;
    left -= sent;
  }
  if (result == 0 && (fchown(out, status->st_uid, status->st_gid) < 0 || fchmod(out, status->st_mode & 07777) < 0))
    result = -1;
  int error = errno;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  errno = error;
  return result;
}

static int copy_link(int from, int to, const char *name, const struct stat *status) {
  char target[4096];
  ssize_t length = readlinkat(from, name, target, sizeof target - 1);
  if (length < 0) return -1;
  target[length] = 0;
  if (symlinkat(target, to, name) < 0) return -1;
  return fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_tree(int from, int to, int depth);

static int copy_directory(int from, int to, const char *name, const struct stat *status, int depth) {
  const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  if (mkdirat(to, name, 0700) < 0) return -1;
  int source = openat(from, name, flags), target = source < 0 ? -1 : openat(to, name, flags);
  int result = target < 0 ? -1 : copy_tree(source, target, depth + 1);
  if (target >= 0 && (fchown(target, status->st_uid, status->st_gid) < 0 || fchmod(target, status->st_mode & 07777) < 0))
    result = -1;
  int error = errno;
  if (source >= 0) close(source);
  if (target >= 0) close(target);
  errno = error;
  return result;
}

/* Copies what is in the directory `from` into `to`; goes on after what cannot be copied and then returns -1. */
static int copy_tree(int from, int to, int depth) {
  int again = depth > MAXIMUM_DEPTH ? -1 : dup(from);
  DIR *entries = again < 0 ? NULL : fdopendir(again);
  if (!entries) return -1;
  int result = 0;
  for (struct dirent *entry; (entry = readdir(entries));) {
    const char *name = entry->d_name;
    struct stat status;
    if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
    int copied = fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW);
    if (copied == 0 && S_ISDIR(status.st_mode)) copied = copy_directory(from, to, name, &status, depth);
    else if (copied == 0 && S_ISREG(status.st_mode)) copied = copy_content(from, to, name, &status);
    else if (copied == 0 && S_ISLNK(status.st_mode)) copied = copy_link(from, to, name, &status);
    if (copied < 0) {
      init_say(errno, "cannot copy %s to the work disk", name);
      result = -1;
    }
  }
  closedir(entries);
  return result;
}

static int is_fresh(int disk) {
  int again = dup(disk), fresh = 1;
  DIR *entries = again < 0 ? NULL : fdopendir(again);
  if (!entries) return 0;
  for (struct dirent *entry; (entry = readdir(entries));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && strcmp(entry->d_name, "lost+found")) fresh = 0;
  closedir(entries);
  return fresh;
}

void skeleton_copy(const char *from, const char *disk) {
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  int source = open(from, flags), target = open(disk, flags);
  if (source >= 0 && target >= 0 && is_fresh(target)) copy_tree(source, target, 0);
  if (source >= 0) close(source);
  if (target >= 0) close(target);
}

/* A double of jailer: confines its program as that does, with the same arguments. */
#define _GNU_SOURCE
#include "jailer-double.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void die(const char *what) {
  printf("double: %s: %s\n", what, strerror(errno));
  exit(1);
}

const char *option(char **argv, const char *name) {
  while (*argv && strcmp(*argv, name) != 0) argv++;
  return *argv ? argv[1] : NULL;
}

static void copy_program(const char *from, const char *to, uid_t uid, gid_t gid) {
  static char buffer[1 << 16];
  int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_NOFOLLOW, 0700);
  if (in < 0 || out < 0) die("copy");
  for (ssize_t length; (length = read(in, buffer, sizeof buffer)) > 0;)
    if (write(out, buffer, length) != length) die("write");
  if (fchown(out, uid, gid) != 0) die("fchown");
  close(in);
  close(out);
}

static void join_group(const char *group) {
  char line[4096], dir[1024], kind[64], path[4096];
  FILE *mounts = fopen("/proc/mounts", "r");
  while (mounts && fgets(line, sizeof line, mounts)) {
    if (sscanf(line, "%*s %1023s %63s", dir, kind) != 2 || strcmp(kind, "cgroup2") != 0) continue;
    snprintf(path, sizeof path, "%s/%s/cgroup.procs", dir, group);
    FILE *members = fopen(path, "w");
    if (!members || fprintf(members, "%d", getpid()) < 0 || fclose(members) != 0) die("cgroup");
    break;
  }
  if (mounts) fclose(mounts);
}

static void make_node(const char *path, unsigned major, unsigned minor, uid_t uid, gid_t gid) {
  if (mknod(path, S_IFCHR | 0600, makedev(major, minor)) != 0 || chown(path, uid, gid) != 0) die(path);
}

static void confine(const char *root, uid_t uid, gid_t gid) {
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) != 0) die("unshare");
  if (mount(root, root, NULL, MS_BIND | MS_REC, NULL) != 0 || chdir(root) != 0) die("bind");
  /* Not chroot(2): who started it may lack the right to that, as the real one does not need it. */
  if (mkdir("old_root", 0700) != 0 || syscall(SYS_pivot_root, ".", "old_root") != 0) die("pivot_root");
  if (chdir("/") != 0 || umount2("old_root", MNT_DETACH) != 0 || rmdir("old_root") != 0) die("old_root");
  umask(0);
  if (mkdir("/run", 0700) != 0 || mkdir("/dev", 0700) != 0 || mkdir("/dev/net", 0700) != 0) die("mkdir");
  make_node("/dev/net/tun", 10, 200, uid, gid);
  make_node("/dev/kvm", 10, 232, uid, gid);
  const char *const given[] = {"/", "/run", "/dev", "/dev/net"};
  for (size_t n = 0; n < sizeof given / sizeof *given; n++)
    if (chown(given[n], uid, gid) != 0) die(given[n]);
}

int jailer(char **argv) {
  const char *id = option(argv, "--id"), *program = option(argv, "--exec-file");
  const char *base = option(argv, "--chroot-base-dir"), *group = option(argv, "--parent-cgroup");
  const char *user = option(argv, "--uid"), *users = option(argv, "--gid");
  if (!id || !program || !base || !user || !users) die("arguments");
  uid_t uid = atoi(user);
  gid_t gid = atoi(users);
  char root[2048], target[4096];
  snprintf(root, sizeof root, "%s/firecracker/%s/root", base, id);
  snprintf(target, sizeof target, "%s/firecracker", root);
  copy_program(program, target, uid, gid);
  if (group) join_group(group);
  confine(root, uid, gid);
  char **rest = argv;
  while (*rest && strcmp(*rest, "--") != 0) rest++;
  char *next[32] = {"/firecracker", "--id", (char *)id};
  for (int n = 3; *rest && *++rest && n < 31; n++) next[n] = *rest;
  if (syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, 0) != 0) return 0;
  if (setgid(gid) != 0 || setuid(uid) != 0) die("setuid");
  execv("/firecracker", next);
  die("exec");
  return 1;
}

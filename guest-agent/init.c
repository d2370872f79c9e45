/* The guest's first process: finds the root disk, gives the VM its identity, starts the agent, becomes the image's init. */
#define _GNU_SOURCE
#include "init.h"

#include "agent.h"
#include "health.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

/* From <linux/magic.h>, which musl-gcc does not reach. */
#define RAMFS_MAGIC 0x858458f6L
#define TMPFS_MAGIC 0x01021994L

/* Disks are made as files of holes, so the zeroing that ext4 does in its own time would only fill them. */
#define DISK_OPTIONS "noinit_itable"

#define ROOT_WAIT_MS 10000
#define EXTRA_DISK_WAIT_MS 2000

static char command_line[4096];

void init_say(int error, const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 64, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  if (length > (int)sizeof line - 65) length = sizeof line - 65;
  if (error) length += snprintf(line + length, sizeof line - length, ": %s", strerror(error));
  dprintf(STDERR_FILENO, "banger-init: %.*s\n", length, line);
}

const char *init_option(const char *key) {
  static char value[256];
  size_t length = strlen(key);
  for (const char *at = command_line; (at = strstr(at, key)); at += length) {
    if ((at == command_line || at[-1] == ' ') && at[length] == '=') {
      snprintf(value, sizeof value, "%.*s", (int)strcspn(at + length + 1, " \n"), at + length + 1);
      return *value ? value : NULL;
    }
  }
  return NULL;
}

/* Ends the VM: nothing can run without a root, and a guest that hangs says less than one that ends. */
static void give_up(void) {
  init_say(0, "cannot continue, powering off");
  sync();
  reboot(RB_POWER_OFF);
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

static long uptime_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void mount_at(const char *type, const char *target, unsigned long flags, const char *options) {
  if (mkdir(target, 0755) < 0 && errno != EEXIST && errno != EROFS) init_say(errno, "cannot make %s", target);
  if (mount(type, target, type, flags, options) < 0 && errno != EBUSY) init_say(errno, "cannot mount %s", target);
}

/* Stage 1 starts without a console when the initrd has none; stage 2 of a foreign kernel may too. */
static void open_console(void) {
  int fd = open("/dev/console", O_RDWR | O_NOCTTY);
  if (fd < 0) return;
  for (int standard = 0; standard < 3; standard++)
    if (fd != standard) dup2(fd, standard);
  if (fd > 2) close(fd);
}

static void read_command_line(void) {
  int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, command_line, sizeof command_line - 1);
  if (length < 0) init_say(errno, "cannot read the kernel command line");
  command_line[length < 0 ? 0 : length] = 0;
  if (fd >= 0) close(fd);
}

static int has_serial(const char *disk, const char *serial) {
  char path[300], value[64];
  snprintf(path, sizeof path, "/sys/block/%s/serial", disk);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, value, sizeof value - 1);
  if (fd >= 0) close(fd);
  value[length < 0 ? 0 : length] = 0;
  value[strcspn(value, "\n")] = 0;
  return !strcmp(value, serial);
}

/* Whether the kernel shows the disk `name`, its device name ("vda") or its serial ("root"); writes its path. */
static int find_disk(const char *name, char *path, size_t size) {
  struct stat status;
  snprintf(path, size, "/dev/%s", name);
  if (stat(path, &status) == 0 && S_ISBLK(status.st_mode)) return 1;
  DIR *disks = opendir("/sys/block");
  if (!disks) return 0;
  int found = 0;
  for (struct dirent *disk; !found && (disk = readdir(disks));) {
    if (*disk->d_name == '.' || !has_serial(disk->d_name, name)) continue;
    snprintf(path, size, "/dev/%.32s", disk->d_name);
    found = stat(path, &status) == 0 && S_ISBLK(status.st_mode);
  }
  closedir(disks);
  if (!found) snprintf(path, size, "%s", name);
  return found;
}

/* Waits for a disk; the order in which a machine shows its disks is its own, so serials are the names to go by. */
static int wait_for_disk(const char *name, int wait_ms, char *path, size_t size) {
  for (int waited = 0; waited <= wait_ms; waited++) {
    if (find_disk(name, path, size)) return 0;
    usleep(1000);
  }
  return -1;
}

/* Stage 1: from the initrd into the root disk. */
static void enter_root(void) {
  char device[64];
  modules_load();
  const char *name = init_option("banger.root");
  if (!name) name = "vda";
  if (wait_for_disk(name, ROOT_WAIT_MS, device, sizeof device) < 0) {
    init_say(0, "the root disk %s did not appear within %d ms", device, ROOT_WAIT_MS);
    give_up();
  }
  mkdir("/newroot", 0755);
  if (mount(device, "/newroot", "ext4", MS_NOATIME, DISK_OPTIONS) < 0) {
    init_say(errno, "cannot mount the root disk %s", device);
    give_up();
  }
  static const char *const moved[] = {"/dev", "/proc", "/sys"};
  for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
    char target[32];
    snprintf(target, sizeof target, "/newroot%s", moved[i]);
    mkdir(target, 0755);
    if (mount(moved[i], target, NULL, MS_MOVE, NULL) < 0) init_say(errno, "cannot move %s", moved[i]);
  }
  unlink("/init");
  if (chdir("/newroot") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) {
    init_say(errno, "cannot enter the root disk");
    give_up();
  }
}

/* The host has put on the disk what the image has in /root, before the first boot. */
static void mount_work_disk(void) {
  char device[64];
  const char *name = init_option("banger.work");
  if (!name) return;
  mkdir("/root", 0755);
  if (wait_for_disk(name, EXTRA_DISK_WAIT_MS, device, sizeof device) < 0)
    init_say(0, "the work disk %s did not appear", device);
  else if (mount(device, "/root", "ext4", MS_NOATIME, DISK_OPTIONS) < 0)
    init_say(errno, "cannot mount the work disk %s on /root", device);
}

static void apply_seed(void) {
  char device[64];
  const char *name = init_option("banger.seed");
  if (!name) return;
  if (wait_for_disk(name, EXTRA_DISK_WAIT_MS, device, sizeof device) < 0) {
    init_say(0, "the seed disk %s did not appear", device);
    return;
  }
  int archive = open(device, O_RDONLY | O_CLOEXEC), root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (archive < 0 || root < 0 || seed_unpack(archive, root) < 0) init_say(errno, "the seed on %s is not whole", device);
  if (archive >= 0) close(archive);
  if (root >= 0) close(root);
}

/* Names the resolver of the kernel command line where neither image nor seed names one. */
static void write_resolver(void) {
  struct stat status;
  const char *server = init_option("banger.dns");
  if (!server || (stat("/etc/resolv.conf", &status) == 0 && status.st_size > 0)) return;
  unlink("/etc/resolv.conf");
  int fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0 || dprintf(fd, "nameserver %s\n", server) < 0) init_say(errno, "cannot write /etc/resolv.conf");
  if (fd >= 0) close(fd);
}

/* The key of the command line wins; else the image's or seed's /etc/hostname. */
static void set_hostname(void) {
  char name[65] = "";
  const char *key = init_option("banger.hostname");
  if (key) {
    snprintf(name, sizeof name, "%.64s", key);
  } else {
    int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
    name[length < 0 ? 0 : length] = 0;
    name[strcspn(name, "\n")] = 0;
    if (fd >= 0) close(fd);
  }
  if (*name && sethostname(name, strlen(name)) < 0) init_say(errno, "cannot set the hostname %s", name);
}

static void set_network(void) {
  char address[64], gateway[64];
  const char *value = init_option("banger.ip");
  snprintf(address, sizeof address, "%s", value ? value : "");
  value = init_option("banger.gw");
  snprintf(gateway, sizeof gateway, "%s", value ? value : "");
  net_up(*address ? address : NULL, *gateway ? gateway : NULL);
}

/*
 * Starts the agent as a child that outlives everything but the shutdown of the machine: systemd spares processes
 * whose argv[0] starts with '@' in its last killing round, else it would wait there for one that ignores SIGTERM.
 */
static void start_agent(void) {
  int notices = health_listen();
  if (notices < 0) init_say(errno, "the init cannot say when it is up");
  pid_t child = fork();
  if (child < 0) init_say(errno, "cannot start the agent");
  if (child != 0) {
    if (notices >= 0) close(notices);
    return;
  }
  program_invocation_name[0] = '@';
  prctl(PR_SET_NAME, "banger-agent");
  setsid();
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    close(null);
  }
  _exit(agent_serve_guest(notices));
}

static void become_image_init(void) {
  static char *const environment[] = {"HOME=/", "TERM=vt220", "NOTIFY_SOCKET=" HEALTH_NOTIFY_SOCKET,
                                      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  char path[256];
  const char *chosen = init_option("banger.init");
  snprintf(path, sizeof path, "%s", chosen ? chosen : "/sbin/init");
  char *const arguments[] = {path, NULL};
  execve(path, arguments, environment);
  init_say(errno, "cannot run %s", path);
}

int init_main(void) {
  struct statfs root;
  mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
  open_console();
  mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  read_command_line();
  umask(0);
  if (statfs("/", &root) == 0 && (root.f_type == RAMFS_MAGIC || root.f_type == TMPFS_MAGIC))
    enter_root();
  else if (mount(NULL, "/", NULL, MS_REMOUNT | MS_NOATIME, NULL) < 0)
    init_say(errno, "cannot make the root disk writable");
  const char *root_name = init_option("banger.root");
  char root_disk[64];
  if (root_name && find_disk(root_name, root_disk, sizeof root_disk)) root_grow(root_disk);
  mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
  mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666");
  mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
  /* An init that mounts it itself runs a program for that. */
  mount_at("mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_work_disk();
  apply_seed();
  set_hostname();
  write_resolver();
  set_network();
  start_agent();
  init_say(0, "agent up after %ld ms", uptime_ms());
  umask(022);
  become_image_init();
  give_up();
  return 1;
}

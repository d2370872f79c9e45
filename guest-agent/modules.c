/* Loads the modules that lead to the guest's disks and to its other devices, from the initramfs. */
#define _GNU_SOURCE
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the machine has a virtio device of that kind. */
static int has_virtio(long kind) {
  DIR *devices = opendir("/sys/bus/virtio/devices");
  struct dirent *device;
  int found = 0;
  while (devices && !found && (device = readdir(devices))) {
    char path[320], value[16] = "";
    snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/device", device->d_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    found = read(fd, value, sizeof value - 1) > 0 && strtol(value, NULL, 16) == kind;
    close(fd);
  }
  if (devices) closedir(devices);
  return found;
}

/*
 * Loads what /modules.list names, in its order, and drops each file: the initrd's memory goes back to the guest. A
 * number behind a name is the kind of virtio device without which the module is of no use.
 */
void modules_load(void) {
  FILE *list = fopen("/modules.list", "re");
  if (!list) return;
  char path[256];
  while (fgets(path, sizeof path, list)) {
    long kind = 0;
    char *end = path + strcspn(path, " \n");
    if (*end == ' ') kind = strtol(end, NULL, 10);
    *end = 0;
    if (!*path) continue;
    int fd = open(path, O_RDONLY | O_CLOEXEC), wanted = kind == 0 || has_virtio(kind);
    if (fd < 0 || (wanted && syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
      init_say(errno, "cannot load %s", path);
    if (fd >= 0) close(fd);
    unlink(path);
  }
  fclose(list);
  unlink("/modules.list");
}

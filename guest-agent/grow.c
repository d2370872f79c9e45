/* Growth of the root disk's file system, before anything of the guest runs. */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* From <linux/fs.h> and <linux/ext4.h>, which musl-gcc does not reach. */
#define DEVICE_BYTES _IOR(0x12, 114, size_t)
#define EXT4_RESIZE _IOW('f', 16, uint64_t)

static uint32_t little_endian(const unsigned char *at) {
  return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

void root_grow(const char *device) {
  unsigned char super[1024];
  uint64_t bytes = 0;
  int disk = open(device, O_RDONLY | O_CLOEXEC);
  /* ext4(5): the superblock lies at 1024; its magic number at 0x38, blocks at 0x4 and 0x150, their size at 0x18. */
  bool read = disk >= 0 && pread(disk, super, sizeof super, 1024) == sizeof super && ioctl(disk, DEVICE_BYTES, &bytes) == 0;
  if (disk >= 0) close(disk);
  if (!read || super[0x38] != 0x53 || super[0x39] != 0xef) return;
  uint64_t filled = little_endian(super + 0x4), blocks = bytes >> (10 + (super[0x18] & 15));
  /* The upper half counts where the feature 64bit (0x80 at 0x60) is on. */
  if (super[0x60] & 0x80) filled |= (uint64_t)little_endian(super + 0x150) << 32;
  if (blocks <= filled) return;
  int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || ioctl(root, EXT4_RESIZE, &blocks) < 0) init_say(errno, "cannot make / as large as its disk");
  if (root >= 0) close(root);
}

/* Whether KVM gives a virtual machine to this user now: a device that opens may still refuse. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "launcher.h"

/* linux/kvm.h */
enum { KVM_GET_API_VERSION = 0xae00, KVM_CREATE_VM = 0xae01, KVM_API_VERSION = 12 };

int try_kvm(const char *device) {
  int fd = open(device, O_RDWR | O_CLOEXEC);
  if (fd < 0) return printf("%s: %s\n", device, strerror(errno)) < 0;
  if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) return printf("%s is not a KVM of version 12\n", device) < 0;
  if (ioctl(fd, KVM_CREATE_VM, 0) < 0) {
    const char *hint = errno == EBUSY ? " (another hypervisor uses the processor)" : "";
    return printf("%s makes no VM: %s%s\n", device, strerror(errno), hint) < 0;
  }
  return printf("ok\n") < 0;
}

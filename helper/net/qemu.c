/* QEMU's side: each datagram is a frame. QEMU may come later than this process, and again. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "net.h"

static const char ours[] = "net.sock", theirs[] = "net-qemu.sock";
enum { RING = 128, BATCH = 16, LOOK_FOR_QEMU_MS = 20, SEND_BUFFER = 1 << 20 };

static int sock = -1, place = -1;
static bool connected;
static struct {
  uint16_t length;
  uint8_t bytes[FRAME_MAX];
} ring[RING];
static unsigned ring_head, ring_tail;
static uint8_t in[BATCH][FRAME_MAX];

bool qemu_connected(void) { return connected; }

void qemu_open(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  strcpy(name.sun_path, ours);
  sock = (int)syscall(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink(ours);
  if (sock < 0 || bind(sock, (void *)&name, sizeof name) < 0 || chmod(ours, 0600) < 0) fail(ours);
  setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
  /* What waits for its turn now is libslirp's answer to its own trial. */
  ring_tail = ring_head;
}

/* Connected, frames to QEMU wait for room exactly as long as there is none, and QEMU's to us are not limited in number. */
static void look_for_qemu(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  strcpy(name.sun_path, theirs);
  connected = syscall(SYS_connect, sock, &name, sizeof name) == 0;
  if (!connected) ring_tail = ring_head;
}

void qemu_watch(void) {
  if (!connected) look_for_qemu();
  if (!connected) wake_within(LOOK_FOR_QEMU_MS);
  place = watch(sock, (short)(POLLIN | (connected && ring_head != ring_tail ? POLLOUT : 0)));
}

void qemu_flush(void) {
  while (connected && ring_tail != ring_head) {
    struct mmsghdr messages[BATCH] = {0};
    struct iovec parts[BATCH];
    unsigned count = 0;
    for (; count < BATCH && ring_tail + count != ring_head; count++) {
      unsigned at = (ring_tail + count) % RING;
      parts[count] = (struct iovec){ring[at].bytes, ring[at].length};
      messages[count].msg_hdr.msg_iov = &parts[count];
      messages[count].msg_hdr.msg_iovlen = 1;
    }
    int sent = (int)syscall(SYS_sendmmsg, sock, messages, count, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
    /* Whoever is gone, and nobody else yet, gets nothing of this. */
    if (sent < 0 && errno != ENOBUFS && errno != ENOMEM) connected = false;
    if (sent < 0) counts.dropped++;
    ring_tail += sent > 0 ? (unsigned)sent : 1;
  }
}

void to_guest(const void *frame, size_t length) {
  counts.frames_out++;
  if (ring_head - ring_tail == RING) qemu_flush();
  if (ring_head - ring_tail == RING || length > FRAME_MAX) {
    counts.dropped++;
    return;
  }
  unsigned at = ring_head++ % RING;
  ring[at].length = (uint16_t)length;
  memcpy(ring[at].bytes, frame, length);
}

void qemu_read(void) {
  if (!(seen_events(place) & (POLLIN | POLLERR | POLLHUP))) return;
  struct mmsghdr messages[BATCH] = {0};
  struct iovec parts[BATCH];
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){in[i], FRAME_MAX};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int count = (int)syscall(SYS_recvmmsg, sock, messages, BATCH, MSG_DONTWAIT, NULL);
  if (count < 0 && errno != EAGAIN && errno != EINTR) connected = false;
  for (int i = 0; i < count; i++) {
    bool whole = !(messages[i].msg_hdr.msg_flags & MSG_TRUNC);
    if (whole) from_guest(in[i], messages[i].msg_len);
    else counts.malformed++;
  }
}

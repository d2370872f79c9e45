/* A library for a QEMU that carries its guest's traffic itself, which refuses what a guest must not reach.
 * That is what listens on this host's loopback (QEMU's 10.0.2.2 is this host's 127.0.0.1) or link-local addresses, and
 * a cloud's metadata; the host's resolvers stay reachable at their port. It serves any C library: all that it uses of
 * one is what every one exports. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DNS_PORT = 53, MOST_RESOLV_CONF = 8 << 10, MAPPED_AT = 12 };

/* An address in one form: IPv4 is mapped into IPv6. */
struct address {
  uint8_t bytes[16];
};
static const uint8_t mapped[MAPPED_AT] = {[10] = 0xff, [11] = 0xff};

static struct address of_ipv4(const void *four) {
  struct address address;
  memcpy(address.bytes, mapped, MAPPED_AT);
  memcpy(address.bytes + MAPPED_AT, four, 4);
  return address;
}

static int begins(const uint8_t *bytes, const uint8_t *with, size_t bits) {
  size_t whole = bits / 8, rest = bits % 8;
  if (memcmp(bytes, with, whole) != 0) return 0;
  return rest == 0 || (bytes[whole] ^ with[whole]) >> (8 - rest) == 0;
}

struct prefix {
  uint8_t bytes[16];
  uint8_t bits;
};

static const struct prefix closed4[] = {
    {{0}, 8},                    /* this host, as Linux takes it */
    {{127}, 8},                  /* loopback */
    {{169, 254}, 16},            /* link-local, and most clouds' metadata */
    {{100, 100, 100, 200}, 32},  /* metadata of Alibaba's cloud */
    {{168, 63, 129, 16}, 32},    /* metadata of Azure */
    {{192, 0, 0, 192}, 32},      /* metadata of Oracle's cloud */
};
static const struct prefix closed6[] = {
    {{0xfe, 0x80}, 10},                                                      /* link-local */
    {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128},               /* metadata of EC2 */
    {{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128},               /* metadata of Google's cloud */
};
/* Where an IPv6 address holds an IPv4 address: as it is, by NAT64 and by 6to4. */
static const struct {
  struct prefix prefix;
  size_t at;
} holding4[] = {
    {{{[10] = 0xff, [11] = 0xff}, 96}, 12},
    {{{0}, 96}, 12},
    {{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},
    {{{0x20, 0x02}, 16}, 2},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int is_closed4(const uint8_t *four) {
  for (size_t i = 0; i < COUNT(closed4); i++)
    if (begins(four, closed4[i].bytes, closed4[i].bits)) return 1;
  return 0;
}

static int is_closed(const struct address *address) {
  for (size_t i = 0; i < COUNT(closed6); i++)
    if (begins(address->bytes, closed6[i].bytes, closed6[i].bits)) return 1;
  /* ::1 holds the IPv4 address 0.0.0.1, which is closed as well. */
  for (size_t i = 0; i < COUNT(holding4); i++)
    if (begins(address->bytes, holding4[i].prefix.bytes, holding4[i].prefix.bits) &&
        is_closed4(address->bytes + holding4[i].at))
      return 1;
  return 0;
}

static int is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Whether the line is `nameserver ADDRESS`, and the address this one. A zone, as in fe80::1%eth0, is left out. */
static int names(const char *line, const char *end, const struct address *wanted) {
  static const char keyword[] = "nameserver";
  char text[INET6_ADDRSTRLEN];
  size_t length = 0;
  if (end - line <= (long)sizeof keyword || memcmp(line, keyword, sizeof keyword - 1) != 0) return 0;
  line += sizeof keyword - 1;
  if (!is_blank(*line)) return 0;
  while (line < end && is_blank(*line)) line++;
  for (; line < end && !is_blank(*line) && *line != '%' && length < sizeof text - 1; line++) text[length++] = *line;
  text[length] = 0;
  uint8_t four[4];
  struct address found;
  if (inet_pton(AF_INET, text, four) == 1) found = of_ipv4(four);
  else if (inet_pton(AF_INET6, text, found.bytes) != 1) return 0;
  return memcmp(found.bytes, wanted->bytes, sizeof found.bytes) == 0;
}

/* Read anew each time: the host may be in another network by now, and only what is closed gets here. */
static int is_resolver(const struct address *address) {
  char text[MOST_RESOLV_CONF];
  int fd = (int)syscall(SYS_openat, AT_FDCWD, "/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  long length = syscall(SYS_read, fd, text, sizeof text);
  syscall(SYS_close, fd);
  const char *line = text, *end = text + (length < 0 ? 0 : length);
  while (line < end) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (stop == NULL) stop = end;
    if (names(line, stop, address)) return 1;
    line = stop + 1;
  }
  return 0;
}

/* Whether nothing may be sent there. */
static int is_refused(const struct sockaddr *to, socklen_t length) {
  struct address address;
  in_port_t port;
  if (to == NULL || length < sizeof to->sa_family) return 0;
  if (to->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6) - sizeof(uint32_t)) {
    const struct sockaddr_in6 *six = (const void *)to;
    memcpy(address.bytes, &six->sin6_addr, sizeof address.bytes);
    port = six->sin6_port;
  } else if (to->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
    const struct sockaddr_in *four = (const void *)to;
    address = of_ipv4(&four->sin_addr);
    port = four->sin_port;
  } else {
    return 0;
  }
  return is_closed(&address) && !(port == htons(DNS_PORT) && is_resolver(&address));
}

static long refuse(void) {
  errno = ECONNREFUSED;
  return -1;
}

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int connect(int fd, const struct sockaddr *to, socklen_t length) {
  return (int)(is_refused(to, length) ? refuse() : syscall(SYS_connect, fd, to, length));
}

EXPORTED ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
  return is_refused(to, length) ? refuse() : syscall(SYS_sendto, fd, bytes, size, flags, to, length);
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  int refused = message != NULL && is_refused(message->msg_name, message->msg_namelen);
  return refused ? refuse() : syscall(SYS_sendmsg, fd, message, flags);
}

/* All or nothing: a program that sends to several at once does not do so for a guest. */
EXPORTED int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, unsigned int flags) {
  for (unsigned int i = 0; messages != NULL && i < count; i++)
    if (is_refused(messages[i].msg_hdr.msg_name, messages[i].msg_hdr.msg_namelen)) return (int)refuse();
  return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}

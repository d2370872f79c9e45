/* The network card of the double's guest. */
#include "vmm-double.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FRAME_MAX 2048

bool guest_mac(struct guest *guest, const char *text) {
  uint8_t *mac = guest->mac;
  return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6;
}

bool guest_address(struct guest *guest, const char *text) {
  uint8_t *address = guest->address;
  return sscanf(text, "%hhu.%hhu.%hhu.%hhu/", address, address + 1, address + 2, address + 3) == 4;
}

/* RFC 1071. */
static uint16_t checksum(const uint8_t *bytes, size_t length) {
  uint32_t sum = 0;
  for (size_t n = 0; n < length; n++) sum += n % 2 ? bytes[n] : bytes[n] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons((uint16_t)~sum);
}

static void swap(uint8_t *a, uint8_t *b, size_t length) {
  for (size_t n = 0; n < length; n++) {
    uint8_t byte = a[n];
    a[n] = b[n];
    b[n] = byte;
  }
}

/* Who has this address? (RFC 826) Offsets are those behind the Ethernet header of 14 bytes. */
static bool answer_arp(const struct guest *guest, uint8_t *arp, size_t length) {
  if (length < 28 || arp[6] != 0 || arp[7] != 1 || memcmp(arp + 24, guest->address, 4) != 0) return false;
  arp[7] = 2;
  swap(arp + 8, arp + 18, 10);
  memcpy(arp + 8, guest->mac, 6);
  return true;
}

/* Echo request (RFC 792); the sum of the IP header does not change by the swap. */
static bool answer_ping(const struct guest *guest, uint8_t *ip, size_t length) {
  if (length < 28 || ip[0] != 0x45 || ip[9] != 1 || memcmp(ip + 16, guest->address, 4) != 0 || ip[20] != 8) return false;
  size_t total = (size_t)ip[2] << 8 | ip[3];
  if (total < 28 || total > length) return false;
  swap(ip + 12, ip + 16, 4);
  memset(ip + 20, 0, 4);
  uint16_t sum = checksum(ip + 20, total - 20);
  memcpy(ip + 22, &sum, sizeof sum);
  return true;
}

void guest_answer(const struct guest *guest) {
  uint8_t frame[FRAME_MAX];
  ssize_t length = read(guest->tap, frame, sizeof frame);
  if (length < 14) return;
  uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
  bool answered = type == 0x0806   ? answer_arp(guest, frame + 14, (size_t)length - 14)
                  : type == 0x0800 ? answer_ping(guest, frame + 14, (size_t)length - 14)
                                   : false;
  if (!answered) return;
  memcpy(frame, frame + 6, 6);
  memcpy(frame + 6, guest->mac, 6);
  if (write(guest->tap, frame, (size_t)length) != length) fprintf(stderr, "double: the tap takes no frame\n");
}

/* Packets as bytes: reading and making them. */
#include <string.h>

#include "net.h"

static const uint8_t our_mac[6] = {0x52, 0x55, 10, 0, 2, 2};

uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }
void put16(uint8_t *at, uint16_t value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }
void put32(uint8_t *at, uint32_t value) { put16(at, (uint16_t)(value >> 16)), put16(at + 2, (uint16_t)value); }

static uint16_t checksum(const uint8_t *bytes, size_t length, uint64_t sum) {
  for (; length > 1; bytes += 2, length -= 2) sum += get16(bytes);
  if (length) sum += (uint64_t)*bytes << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

size_t build_ip(uint8_t *frame, uint8_t protocol, uint32_t from, uint32_t to, size_t payload) {
  static uint16_t number;
  bool to_the_guest = to == GUEST;
  memcpy(frame, to_the_guest ? guest_mac : our_mac, 6);
  memcpy(frame + 6, to_the_guest ? our_mac : guest_mac, 6);
  put16(frame + 12, ETHERTYPE_IPV4);
  uint8_t *ip = memset(frame + ETHERNET, 0, IP_HEADER);
  ip[0] = 0x45, ip[8] = 64, ip[9] = protocol;
  put16(ip + 2, (uint16_t)(IP_HEADER + payload));
  /* A bridge in the guest may have to cut it in pieces. */
  put16(ip + 4, ++number);
  put32(ip + 12, from), put32(ip + 16, to);
  put16(ip + 10, checksum(ip, IP_HEADER, 0));
  uint8_t *body = ip + IP_HEADER;
  if (protocol == IPPROTO_ICMP) {
    put16(body + 2, 0);
    put16(body + 2, checksum(body, payload, 0));
  } else {
    uint64_t pseudo = (from >> 16) + (from & 0xffff) + (to >> 16) + (to & 0xffff) + protocol + payload;
    uint8_t *sum = body + (protocol == IPPROTO_TCP ? 16 : 6);
    put16(sum, 0);
    uint16_t found = checksum(body, payload, pseudo);
    put16(sum, found == 0 && protocol == IPPROTO_UDP ? 0xffff : found);
  }
  return ETHERNET + IP_HEADER + payload;
}

void send_ip(uint8_t *frame, uint8_t protocol, uint32_t from, size_t payload) {
  to_guest(frame, build_ip(frame, protocol, from, GUEST, payload));
}

void send_udp(uint8_t *frame, uint32_t from, uint16_t from_port, uint16_t to_port, size_t payload) {
  uint8_t *udp = frame + ETHERNET + IP_HEADER;
  put16(udp, from_port), put16(udp + 2, to_port), put16(udp + 4, (uint16_t)(UDP_HEADER + payload));
  send_ip(frame, IPPROTO_UDP, from, UDP_HEADER + payload);
}

void send_unreachable(const uint8_t *ip, uint8_t code) {
  uint8_t frame[ETHERNET + IP_HEADER + 8 + IP_HEADER + 8] = {0};
  uint8_t *icmp = frame + ETHERNET + IP_HEADER;
  icmp[0] = 3, icmp[1] = code;
  memcpy(icmp + 8, ip, IP_HEADER + 8);
  send_ip(frame, IPPROTO_ICMP, GATEWAY, 8 + IP_HEADER + 8);
}

void refuse(const uint8_t *ip, size_t length) {
  uint8_t frame[ETHERNET + IP_HEADER + TCP_HEADER] = {0};
  if (ip[9] != IPPROTO_TCP) return send_unreachable(ip, 13);
  const uint8_t *tcp = ip + IP_HEADER;
  uint8_t *answer = frame + ETHERNET + IP_HEADER;
  if (length < IP_HEADER + TCP_HEADER || tcp[13] & TCP_RST) return;
  memcpy(answer, tcp + 2, 2), memcpy(answer + 2, tcp, 2);
  if (tcp[13] & TCP_ACK) memcpy(answer + 4, tcp + 8, 4);
  put32(answer + 8, get32(tcp + 4) + ((tcp[13] & TCP_SYN) != 0));
  answer[12] = 0x50, answer[13] = TCP_RST | TCP_ACK;
  send_ip(frame, IPPROTO_TCP, get32(ip + 16), TCP_HEADER);
}

/* What the guest sends goes on only where it is understood: from its own addresses, in one piece, without options. */
#include <string.h>

#include "net.h"

static bool is_zero_mac(const uint8_t *mac) { return memcmp(mac, (uint8_t[6]){0}, 6) == 0; }

/* Ethernet and IPv4, and told of the guest only. */
static bool is_sane_arp(const uint8_t *frame, size_t length) {
  const uint8_t *arp = frame + ETHERNET;
  if (length < ETHERNET + 28 || get32(arp) != 0x00010800 || get16(arp + 4) != 0x0604) return false;
  if (get16(arp + 6) != 1 && get16(arp + 6) != 2) return false;
  if (memcmp(arp + 8, guest_mac, 6) != 0) return false;
  uint32_t from = get32(arp + 14);
  /* A probe has no sender yet. */
  return from == GUEST || (from == 0 && get16(arp + 6) == 1 && is_zero_mac(arp + 18));
}

/*
 * A request for an address, as a client that has none yet sends it, or one that has its own. Of this guest's card:
 * libslirp has an address for 16 of them, and for each request of another card keeps a buffer for ever.
 */
static bool is_dhcp(const uint8_t *ip, size_t total) {
  const uint8_t *udp = ip + IP_HEADER, *bootp = udp + UDP_HEADER;
  uint32_t from = get32(ip + 12), to = get32(ip + 16);
  return ip[9] == IPPROTO_UDP && get16(udp) == 68 && get16(udp + 2) == 67 && (to == 0xffffffff || to == GATEWAY) &&
         (from == 0 || from == GUEST) && get16(udp + 4) == total - IP_HEADER && total >= IP_HEADER + UDP_HEADER + 240 &&
         get16(bootp) == 0x0101 && bootp[2] == 6 && memcmp(bootp + 28, guest_mac, 6) == 0;
}

static bool is_header(const uint8_t *ip, size_t room) {
  size_t total = get16(ip + 2);
  if (ip[0] != 0x45 || total < IP_HEADER + 8 || total > room) return false;
  /* Put together behind this filter, fragments would be something else than what it saw. */
  return (get16(ip + 6) & 0x3fff) == 0;
}

static void tcp_out(uint8_t *frame, size_t length, const uint8_t *ip, size_t total) {
  const uint8_t *tcp = ip + IP_HEADER;
  uint32_t to = get32(ip + 16);
  uint16_t guest_port = get16(tcp), port = get16(tcp + 2);
  uint8_t flags = tcp[13] & 0x3f;
  size_t header = (size_t)(tcp[12] >> 4) * 4;
  bool first = flags & TCP_SYN && !(flags & TCP_ACK);
  bool odd = (flags & TCP_SYN && flags & (TCP_FIN | TCP_RST)) || port == 0 || guest_port == 0;
  if (total < IP_HEADER + TCP_HEADER || header < TCP_HEADER || header > total - IP_HEADER || odd) {
    counts.malformed++;
    return;
  }
  if (!first) {
    tcp_seen(guest_port, to, port, flags);
    slirp_input(slirp, frame, (int)length);
    return;
  }
  struct verdict verdict = judge(TCP, to, port);
  tell(TCP, to, port, verdict.name, verdict);
  if (verdict.allow) tcp_syn(frame, length, guest_port, to, port, verdict);
  else refuse(ip, total);
}

static void ip_out(uint8_t *frame, size_t length) {
  uint8_t *ip = frame + ETHERNET;
  size_t total = get16(ip + 2);
  uint32_t to = get32(ip + 16);
  const uint8_t *body = ip + IP_HEADER;
  if (is_dhcp(ip, total)) {
    slirp_input(slirp, frame, (int)length);
    return;
  }
  if (get32(ip + 12) != GUEST) {
    counts.malformed++;
    return;
  }
  bool udp = ip[9] == IPPROTO_UDP, icmp = ip[9] == IPPROTO_ICMP;
  if (udp && (get16(body + 4) != total - IP_HEADER || get16(body + 2) == 0 || get16(body) == 0)) counts.malformed++;
  else if (udp && to == NAMESERVER && get16(body + 2) == 53)
    dns_ask(get16(body), body + UDP_HEADER, total - IP_HEADER - UDP_HEADER);
  else if (icmp && to == GATEWAY && body[0] == 8) slirp_input(slirp, frame, (int)length);
  else if (ip[9] == IPPROTO_TCP) tcp_out(frame, length, ip, total);
  /* Of ICMP only questions for an echo lead anywhere; what the guest says about our packets is its own affair. */
  else if (udp || (icmp && body[0] == 8 && body[1] == 0)) udp_out(ip, total);
  else if (!icmp) refuse(ip, total);
}

void from_guest(uint8_t *frame, size_t length) {
  counts.frames_in++;
  bool readable = length >= ETHERNET + IP_HEADER + 8 && memcmp(frame + 6, guest_mac, 6) == 0;
  uint16_t type = readable ? get16(frame + 12) : 0;
  if (type == ETHERTYPE_ARPV4 && is_sane_arp(frame, length)) slirp_input(slirp, frame, (int)length);
  else if (type == ETHERTYPE_IPV4 && is_header(frame + ETHERNET, length - ETHERNET))
    /* What comes after the packet is padding; nobody after here is to see it. */
    ip_out(frame, ETHERNET + get16(frame + ETHERNET + 2));
  else counts.malformed++;
}

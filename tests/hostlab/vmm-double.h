/* The guest of the double of Firecracker. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* The double's guest has a network card that answers ARP and pings, and nothing else. */
struct guest {
  int tap; /* -1: not running */
  uint8_t mac[6], address[4];
};
/* Take "06:fc:…" and "172.16.0.2/24 …"; false where that is not what the text begins with. */
bool guest_mac(struct guest *guest, const char *text);
bool guest_address(struct guest *guest, const char *text);
/* Takes one frame from the tap and answers it. */
void guest_answer(const struct guest *guest);

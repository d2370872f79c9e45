/** Which addresses of VMs have TCP connections from or to this host, as /proc/net/tcp shows them. */

import { readFileSync } from "node:fs";
import { type AddressRange, isInRange } from "../../home/addresses.js";

/** `st` of a socket that only listens (include/net/tcp_states.h). */
const listening = "0A";

/**
 * Those addresses of the range at which a connection of this host begins or ends. One that has ended is in the table for
 * another minute, as TIME_WAIT.
 */
export function connectedAddresses(
  range: AddressRange,
  table = readFileSync("/proc/net/tcp", "latin1"),
): Set<string> {
  const found = new Set<string>();
  for (const line of table.split("\n").slice(1)) {
    const [, local = "", remote = "", state] = line.trim().split(/\s+/);
    if (state === undefined || state === listening) continue;
    for (const end of [local, remote]) {
      const address = dotted(end);
      if (isInRange(range, address)) found.add(address);
    }
  }
  return found;
}

/** "0100007F:0016" is 127.0.0.1, port 22: the kernel prints the address as one little-endian number. */
function dotted(end: string): string {
  const octets = end.slice(0, 8).match(/../g) ?? [];
  return octets
    .reverse()
    .map((octet) => Number.parseInt(octet, 16))
    .join(".");
}

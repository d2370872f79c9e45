/** Pure: the Ethernet frames that guests of the tests send, honest and not, and what is in those that arrive. */

export interface Station {
  mac: string;
  address: string;
}

const bytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(":", ""), "hex");
const octets = (address: string): Buffer => Buffer.from(address.split(".").map(Number));
const word = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);

export const everybody = "ff:ff:ff:ff:ff:ff";
export const types = {
  ip: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  providerVlan: 0x88a8,
  ip6: 0x86dd,
  lldp: 0x88cc,
};

/** Padded as a network card would. */
export const ethernet = (from: string, to: string, type: number, payload: Buffer): Buffer =>
  Buffer.concat([
    bytes(to),
    bytes(from),
    word(type),
    payload,
    Buffer.alloc(Math.max(0, 46 - payload.length)),
  ]);

/** The Internet checksum. */
function checksum(data: Buffer): Buffer {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += (data[at] ?? 0) * 256 + (data[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return word(~sum & 0xffff);
}

export function ipv4(from: string, to: string, protocol: number, payload: Buffer): Buffer {
  const header = Buffer.concat([
    Buffer.from([0x45, 0]),
    word(20 + payload.length),
    Buffer.from([0, 1, 0, 0, 64, protocol, 0, 0]),
    octets(from),
    octets(to),
  ]);
  checksum(header).copy(header, 10);
  return Buffer.concat([header, payload]);
}

/** `mark` comes back in the answer. */
export function echo(kind: "request" | "reply", mark: number): Buffer {
  const message = Buffer.concat([Buffer.from([kind === "request" ? 8 : 0, 0, 0, 0]), word(mark), word(1)]);
  checksum(message).copy(message, 2);
  return message;
}

export const udp = (fromPort: number, toPort: number, text: string): Buffer =>
  Buffer.concat([word(fromPort), word(toPort), word(8 + text.length), word(0), Buffer.from(text)]);

export const arp = (operation: 1 | 2, sender: Station, target: Station): Buffer =>
  Buffer.concat([
    word(1),
    word(types.ip),
    Buffer.from([6, 4]),
    word(operation),
    bytes(sender.mac),
    octets(sender.address),
    bytes(target.mac),
    octets(target.address),
  ]);

export interface Heard {
  from: string;
  to: string;
  type: number;
  payload: Buffer;
  /** Of an IPv4 packet. */
  ip?: { from: string; to: string; protocol: number; payload: Buffer };
}

const macAt = (frame: Buffer, at: number): string =>
  (frame.toString("hex", at, at + 6).match(/../g) ?? []).join(":");
const addressAt = (packet: Buffer, at: number): string => [...packet.subarray(at, at + 4)].join(".");

export function parseFrame(frame: Buffer): Heard {
  const payload = frame.subarray(14);
  const heard = { to: macAt(frame, 0), from: macAt(frame, 6), type: frame.readUInt16BE(12), payload };
  if (heard.type !== types.ip) return heard;
  const header = ((payload[0] ?? 0) & 15) * 4;
  const ip = {
    from: addressAt(payload, 12),
    to: addressAt(payload, 16),
    protocol: payload[9] ?? 0,
    payload: payload.subarray(header, payload.readUInt16BE(2)),
  };
  return { ...heard, ip };
}

/** The mark of an echo of that kind, if this is one. */
export function echoMark({ ip }: Heard, kind: "request" | "reply"): number | undefined {
  const isEcho = ip?.protocol === 1 && ip.payload[0] === (kind === "request" ? 8 : 0);
  return isEcho ? ip.payload.readUInt16BE(4) : undefined;
}

/** The answer of this station, if it is asked for by ARP. */
export function arpAnswer(station: Station, { type, from, payload }: Heard): Buffer | undefined {
  const isForIt = type === types.arp && payload[7] === 1 && addressAt(payload, 24) === station.address;
  if (!isForIt) return undefined;
  const asker = { mac: from, address: addressAt(payload, 14) };
  return ethernet(station.mac, from, types.arp, arp(2, station, asker));
}

/** Pure: one DNS message in, the reply out; whatever the bytes, nothing throws. */
import { type Answer, decode, encode, type OptAnswer, type Packet } from "dns-packet";
import type { AddressRange } from "../home/addresses.js";
import { answer, type Names, type Verdict } from "./zone.js";

const headerBytes = 12;
/** What every resolver takes over UDP without having said so (RFC 1035), and what crosses every network whole. */
const plainLimit = 512;
const largestUdp = 1232;
const largestTcp = 65_535;

const flags = { response: 0x8000, authoritative: 0x0400, truncated: 0x0200, recursionDesired: 0x0100 };
const rcodes = { NOERROR: 0, FORMERR: 1, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
type Rcode = keyof typeof rcodes | Verdict;

export interface Asked {
  names: Names;
  /** Those that have a reverse zone here. */
  addresses: AddressRange;
  transport: "udp" | "tcp";
}

/** A query as far as it could be read. */
interface Query {
  header: Buffer;
  /** The question's own bytes: they go back as they came, letter case and all. */
  question: Buffer;
  /** The query's OPT record, when it has one (RFC 6891). */
  edns: OptAnswer | undefined;
}

/** The reply to a message; undefined where none is due: no whole header, or a reply itself. */
export function replyTo(message: Buffer, { names, addresses, transport }: Asked): Buffer | undefined {
  if (message.length < headerBytes || (message.readUInt16BE(2) & flags.response) !== 0) return undefined;
  const unread: Query = { header: message, question: Buffer.alloc(0), edns: undefined };
  if (((message.readUInt16BE(2) >> 11) & 0xf) !== 0) return build(unread, "NOTIMP", plainLimit);
  const packet = parse(message);
  const asked = packet?.questions?.[0];
  const options = (packet?.additionals ?? []).filter((each): each is OptAnswer => each.type === "OPT");
  const question = questionBytes(message);
  if (asked === undefined || packet?.questions?.length !== 1 || options.length > 1 || !question) {
    return build(unread, "FORMERR", plainLimit);
  }
  const [edns] = options;
  const query: Query = { header: message, question, edns };
  const limit = transport === "tcp" ? largestTcp : udpLimit(edns);
  if (edns !== undefined && edns.ednsVersion !== 0) return build(query, "BADVERS", limit);
  const { verdict, answers, authorities } = answer(asked, names, addresses);
  return build(query, verdict, limit, { answers, authorities });
}

function parse(message: Buffer): Packet | undefined {
  try {
    return decode(message);
  } catch {
    return undefined;
  }
}

/** The first question; undefined when its name is not spelled out: there is nothing before it to point to. */
function questionBytes(message: Buffer): Buffer | undefined {
  let at = headerBytes;
  for (let length = message[at] ?? 0; length !== 0; length = message[at] ?? 0) {
    if (length > 63) return undefined;
    at += 1 + length;
  }
  return message.subarray(headerBytes, at + 1 + 4);
}

const udpLimit = (edns: OptAnswer | undefined): number =>
  edns === undefined ? plainLimit : Math.min(Math.max(edns.udpPayloadSize, plainLimit), largestUdp);

interface Sections {
  answers: Answer[];
  authorities: Answer[];
}

/** The reply's bytes; one that is longer than `limit` goes without its records and says so (RFC 2181, 9). */
export function build(query: Query, rcode: Rcode, limit: number, sections?: Sections): Buffer {
  const { header, question, edns } = query;
  const code = rcodes[rcode];
  const additionals = edns === undefined ? [] : [ednsReply(code)];
  const whole = encode({ ...sections, additionals });
  const fits = whole.length + question.length <= limit;
  const body = fits ? whole : encode({ additionals });
  const reply = Buffer.concat([body.subarray(0, headerBytes), question, body.subarray(headerBytes)]);
  const own = sections !== undefined && rcode !== "REFUSED";
  const said = header.readUInt16BE(2) & (0x7800 | flags.recursionDesired);
  const marks = flags.response | (own ? flags.authoritative : 0) | (fits ? 0 : flags.truncated);
  reply.writeUInt16BE(header.readUInt16BE(0), 0);
  reply.writeUInt16BE(said | marks | (code & 0xf), 2);
  reply.writeUInt16BE(question.length === 0 ? 0 : 1, 4);
  return reply;
}

const ednsReply = (code: number): OptAnswer => ({
  type: "OPT",
  name: ".",
  udpPayloadSize: largestUdp,
  extendedRcode: code >> 4,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
});

/** Makes tar archives by hand, hostile ones too. */
export interface MadeEntry {
  /** Bytes as latin1. */
  name: string;
  type?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  link?: string;
  major?: number;
  minor?: number;
  data?: Buffer | string;
  /** Instead of the data's length. */
  size?: number;
  pax?: readonly (readonly [string, string | Buffer])[];
}

const pad = (bytes: Buffer): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

function header(entry: MadeEntry, type: string, size: number): Buffer {
  const bytes = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number): unknown =>
    bytes.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
  bytes.write(entry.name.slice(0, 100), 0, "latin1");
  octal(entry.mode ?? 0o644, 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(entry.mtime ?? 1_600_000_000, 136, 12);
  bytes.write(type, 156, "latin1");
  bytes.write((entry.link ?? "").slice(0, 100), 157, "latin1");
  bytes.write("ustar\x0000", 257, "latin1");
  octal(entry.major ?? 0, 329, 8);
  octal(entry.minor ?? 0, 337, 8);
  return seal(bytes);
}

/** Puts the checksum of a header into it. */
export function seal(bytes: Buffer): Buffer {
  bytes.write("        ", 148, "latin1");
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

function paxRecord(key: string, value: string | Buffer): Buffer {
  const body = Buffer.concat([
    Buffer.from(` ${key}=`),
    typeof value === "string" ? Buffer.from(value, "latin1") : value,
    Buffer.from("\n"),
  ]);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

export function tarEntry(entry: MadeEntry): Buffer {
  const data = typeof entry.data === "string" ? Buffer.from(entry.data) : (entry.data ?? Buffer.alloc(0));
  const pax = [...(entry.pax ?? [])];
  if (entry.name.length > 100) pax.push(["path", entry.name]);
  if ((entry.link ?? "").length > 100) pax.push(["linkpath", entry.link as string]);
  const records = Buffer.concat(pax.map(([key, value]) => paxRecord(key, value)));
  const before = pax.length === 0 ? [] : [header({ name: "pax" }, "x", records.length), pad(records)];
  return Buffer.concat([...before, header(entry, entry.type ?? "0", entry.size ?? data.length), pad(data)]);
}

export const tar = (entries: readonly MadeEntry[]): Buffer =>
  Buffer.concat([...entries.map(tarEntry), Buffer.alloc(1024)]);

/** Pure: one 512-byte tar header (v7, ustar, GNU, star) as numbers and names; bytes stand as latin1 strings. */

/** A tar archive, or an entry of one, that breaks the format or the limits. */
export class TarError extends Error {}

/** A name from a layer, for messages. */
export const shown = (path: string): string => {
  const text = Buffer.from(path, "latin1").toString("utf8");
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
};

export interface Header {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  /** The type flag, one character. */
  type: string;
  link: string;
  major: number;
  minor: number;
  gnu: boolean;
  bytes: Buffer;
}

const text = (bytes: Buffer, from: number, length: number): string => {
  const end = bytes.indexOf(0, from);
  return bytes.toString("latin1", from, end === -1 || end > from + length ? from + length : end);
};

/** A number in octal, or in base 256 as GNU and star write what octal cannot hold. */
export function headerNumber(bytes: Buffer, from: number, length: number, what: string): number {
  const first = bytes[from] as number;
  if ((first & 0x80) === 0) {
    const digits = text(bytes, from, length).replace(/^[ ]+|[ ]+$/g, "");
    if (!/^[0-7]*$/.test(digits)) throw new TarError(`its ${what} is not a number`);
    return digits === "" ? 0 : Number.parseInt(digits, 8);
  }
  const negative = (first & 0x40) !== 0;
  let value = negative ? first | ~0xff : first & 0x7f;
  for (let i = 1; i < length; i++) value = value * 256 + (bytes[from + i] as number);
  if (!Number.isSafeInteger(value)) throw new TarError(`its ${what} is out of range`);
  return value;
}

function checksumHolds(bytes: Buffer): boolean {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < 512; i++) {
    const byte = i >= 148 && i < 156 ? 32 : (bytes[i] as number);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const said = headerNumber(bytes, 148, 8, "checksum");
  return said === unsigned || said === signed;
}

export const isZeroBlock = (bytes: Buffer): boolean => bytes[0] === 0 && bytes.every((byte) => byte === 0);

/** @throws TarError when the checksum is wrong or a field is not a number */
export function parseHeader(bytes: Buffer): Header {
  if (!checksumHolds(bytes)) throw new TarError("a header's checksum does not hold");
  const ustar = text(bytes, 257, 6) === "ustar";
  const gnu = bytes.toString("latin1", 257, 265) === "ustar  \0";
  const star = bytes.toString("latin1", 508, 512) === "tar\0";
  const prefix = ustar ? text(bytes, 345, star ? 131 : 155) : "";
  const name = text(bytes, 0, 100);
  const known = ustar || gnu;
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: headerNumber(bytes, 100, 8, "mode"),
    uid: headerNumber(bytes, 108, 8, "owner"),
    gid: headerNumber(bytes, 116, 8, "group"),
    size: headerNumber(bytes, 124, 12, "size"),
    mtime: headerNumber(bytes, 136, 12, "time"),
    type: String.fromCharCode(bytes[156] as number),
    link: text(bytes, 157, 100),
    major: known ? headerNumber(bytes, 329, 8, "device number") : 0,
    minor: known ? headerNumber(bytes, 337, 8, "device number") : 0,
    gnu,
    bytes,
  };
}

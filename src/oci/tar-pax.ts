/** Pure: the records of a pax extended header, and what they say of the entry that follows. */
import { TarError } from "./tar-header.js";

export interface Pax {
  values: Map<string, string>;
  xattrs: Map<string, Buffer>;
  /** GNU sparse 0.0: its keys repeat, so their order counts. */
  segments: string[];
}

const xattrPrefix = "SCHILY.xattr.";

/** @throws TarError for records that break the format */
export function parsePax(bytes: Buffer): Pax {
  const pax: Pax = { values: new Map(), xattrs: new Map(), segments: [] };
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(32, at);
    const digits = space === -1 || space - at > 10 ? "" : bytes.toString("latin1", at, space);
    const end = at + Number(digits);
    const equals = bytes.indexOf(61, space + 1);
    const sound = /^[1-9]\d*$/.test(digits) && end <= bytes.length && equals > space && equals < end;
    if (!sound || bytes[end - 1] !== 10) throw new TarError("an extended header is malformed");
    const key = bytes.toString("latin1", space + 1, equals);
    const value = bytes.subarray(equals + 1, end - 1);
    at = end;
    if (key.startsWith(xattrPrefix)) pax.xattrs.set(key.slice(xattrPrefix.length), Buffer.from(value));
    else if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes")
      pax.segments.push(value.toString("latin1"));
    else if (value.length === 0) pax.values.delete(key);
    else pax.values.set(key, value.toString("latin1"));
  }
  return pax;
}

/** A whole, non-negative number in a pax record. */
export function paxNumber(value: string, what: string): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw new TarError(`its ${what} is not a number`);
  return number;
}

/** A time such as `-1.25`, as whole seconds and nanoseconds to add. */
export function paxTime(value: string): { seconds: number; nanoseconds: number } {
  const found = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value);
  if (found === null) throw new TarError("its time is not a number");
  const seconds = Number(found[2]);
  const nanoseconds = Number((found[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (found[1] !== "-") return { seconds, nanoseconds };
  if (nanoseconds === 0) return { seconds: -seconds, nanoseconds };
  return { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}

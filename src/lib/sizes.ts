/** Sizes and durations as people write them. Imports nothing heavy: every command of the CLI loads it. */
import { BangerError } from "./errors.js";

const mibPerUnit: Readonly<Record<string, number>> = { "": 1, M: 1, G: 1024, T: 1024 * 1024 };
/** 16 TiB, which is also what ext4 can hold in one file. */
const largestMiB = 16 * 1024 * 1024;

/**
 * `512M`, `4G`, `4GiB`, `1.5G`, or `1024`, which means MiB, as MiB.
 * @throws BangerError `bad_size` for what is not a whole number of MiB from 1 to 16 TiB
 */
export function parseSize(text: string): number {
  const refuse = (why: string) =>
    new BangerError("bad_size", `"${text}" is not a size: ${why}`, {
      hint: "write it like 512M, 4G, 4GiB or 1024 (MiB)",
    });
  const [, digits, unit] = /^(-?\d+(?:\.\d+)?)(?:([MGT])(?:iB)?)?$/i.exec(text.trim()) ?? [];
  if (digits === undefined) throw refuse("it must be a number with M, G or T");
  const mib = Number(digits) * (mibPerUnit[(unit ?? "").toUpperCase()] as number);
  if (mib <= 0) throw refuse("it must be more than zero");
  if (mib > largestMiB) throw refuse("it must be at most 16T");
  if (!Number.isInteger(mib)) throw refuse("it must be a whole number of MiB");
  return mib;
}

/** MiB in the largest unit that leaves a whole number: 8192 → "8G", 0 → "0M". `parseSize` reads it back. */
export function formatSize(mib: number): string {
  if (mib > 0 && mib % (1024 * 1024) === 0) return `${mib / (1024 * 1024)}T`;
  return mib > 0 && mib % 1024 === 0 ? `${mib / 1024}G` : `${mib}M`;
}

/** What something measures, rounded: "412M", "1.3G", "2.1T". */
export function formatBytes(bytes: number): string {
  const miB = bytes / 2 ** 20;
  if (miB >= 1023.95 * 1024) return `${Number((miB / 2 ** 20).toFixed(1))}T`;
  return miB >= 999.5 ? `${Number((miB / 1024).toFixed(1))}G` : `${Math.round(miB)}M`;
}

/** Millions of bytes, without the unit; below ten with one decimal: "1.5", "38". */
export const formatMegabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 10e6 ? 1 : 0);

const msPerUnit = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
type Unit = keyof typeof msPerUnit;
const longestMs = 3650 * msPerUnit.d;

/**
 * `500ms`, `90s`, `10m`, `2h`, `1d` or several of them, as in `1h30m`, as milliseconds.
 * @throws BangerError `bad_duration` for anything else, and for what is longer than ten years
 */
export function parseDuration(text: string): number {
  const refuse = (why: string) =>
    new BangerError("bad_duration", `"${text}" is not a duration: ${why}`, {
      hint: "write it like 30s, 10m, 2h or 1d",
    });
  const trimmed = text.trim();
  if (!/^(\d+(\.\d+)?(ms|[smhd]))+$/.test(trimmed)) throw refuse("it must be a number with s, m, h or d");
  let total = 0;
  for (const [, digits, unit] of trimmed.matchAll(/([\d.]+)(ms|[smhd])/g)) {
    total += Number(digits) * msPerUnit[unit as Unit];
  }
  if (total > longestMs) throw refuse("it must be at most ten years");
  return Math.round(total);
}

/** For people, the two largest units that matter: "350ms", "2.4s", "12s", "3m20s", "2h", "1d4h". */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 9_950) return `${Number((ms / 1000).toFixed(1))}s`;
  let seconds = Math.round(ms / 1000);
  const parts: string[] = [];
  for (const unit of ["d", "h", "m", "s"] as const) {
    const size = msPerUnit[unit] / 1000;
    const count = Math.floor(seconds / size);
    if (count > 0) parts.push(`${count}${unit}`);
    seconds %= size;
    if (parts.length > 0 && (parts.length === 2 || count === 0)) break;
  }
  return parts.join("");
}

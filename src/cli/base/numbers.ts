/** Numbers and sizes on the command line. */
import { BangerError } from "../../lib/errors.js";
import { formatSize, parseSize } from "../../lib/sizes.js";
import { usageError } from "./check.js";

/** A whole number from 0 to `most`. @throws BangerError `usage` */
export function wholeNumber(flag: string, text: string, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value <= most) return value;
  throw usageError(`--${flag}: "${text}" is not a whole number from 0 to ${most}`, `--${flag} 100`);
}

type Range = { minimum: number; maximum: number };

/** The size that a flag gives, in MiB. @throws BangerError `usage` */
export function sizeFlag(flag: string, text: string, { minimum, maximum }: Range): number {
  const range = `from ${formatSize(minimum)} to ${formatSize(maximum)}`;
  const outside = () => usageError(`--${flag}: ${text} is not ${range}`, `--${flag} ${formatSize(minimum)}`);
  try {
    const miB = parseSize(text);
    if (miB >= minimum && miB <= maximum) return miB;
    throw outside();
  } catch (error) {
    if (!(error instanceof BangerError) || error.code === "usage") throw error;
    // The limit is the flag's own, not that of all sizes.
    if (/at most/.test(error.message)) throw outside();
    throw usageError(`--${flag}: ${error.message}`, error.hint ?? "");
  }
}

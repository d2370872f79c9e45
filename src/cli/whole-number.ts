/** Numbers on the command line. */
import { usageError } from "./check.js";

/** A whole number from 0 to `most`. @throws BangerError `usage` */
export function wholeNumber(flag: string, text: string, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value <= most) return value;
  throw usageError(`--${flag}: "${text}" is not a whole number from 0 to ${most}`, `--${flag} 100`);
}

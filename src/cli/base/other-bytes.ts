/** Arguments are bytes; the ones that are no UTF-8 would reach a guest as something else. */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { BangerError } from "../../lib/errors.js";

/** What Node puts in the place of bytes that it cannot decode. */
const replacement = "\uFFFD";

/** What stands before each NUL: arguments or variables as /proc has them. */
function partsOf(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    parts.push(bytes.subarray(at, end === -1 ? bytes.length : end));
    at = (end === -1 ? bytes.length : end) + 1;
  }
  return parts;
}

/** The place, from 1, of the first argument that is no UTF-8, in a command line as /proc has it. */
function placeOfOtherBytes(cmdline: Buffer, count: number): number | undefined {
  const place = partsOf(cmdline)
    .slice(-count)
    .findIndex((part) => !isUtf8(part));
  return place === -1 ? undefined : place + 1;
}

/** @throws BangerError `argument_not_utf8` when this process has such an argument */
export function refuseOtherBytes(argv: readonly string[], path = "/proc/self/cmdline"): void {
  if (!argv.some((argument) => argument.includes(replacement))) return;
  const place = placeOfOtherBytes(readFileSync(path), argv.length);
  if (place === undefined) return;
  throw new BangerError("argument_not_utf8", `argument ${place} is not UTF-8: ${argv[place - 1]}`, {
    hint: `build it in the guest's shell: banger vm exec REF -- sh -c 'ls -- "$(printf "caf\\351.txt")"'`,
  });
}

/** @throws BangerError `argument_not_utf8` when that is the value of this process's variable, and not UTF-8 there */
export function refuseOtherBytesOf(name: string, value: string, path = "/proc/self/environ"): void {
  if (!value.includes(replacement)) return;
  const start = Buffer.from(`${name}=`);
  const variable = partsOf(readFileSync(path)).find((part) => part.subarray(0, start.length).equals(start));
  if (variable === undefined || isUtf8(variable)) return;
  throw new BangerError("argument_not_utf8", `the value of ${name} is not UTF-8: ${value}`, {
    hint: `set it in the guest's shell: banger vm exec REF -- sh -c '${name}="$(printf "caf\\351")" exec CMD'`,
  });
}

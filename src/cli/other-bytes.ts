/** Arguments are bytes; the ones that are no UTF-8 would reach a guest as something else. */
import { readFileSync } from "node:fs";
import { BangerError } from "../errors.js";

/** What Node puts in the place of bytes that it cannot decode. */
const replacement = "\uFFFD";

/** The place, from 1, of the first argument that is no UTF-8, in a command line as /proc has it. */
function placeOfOtherBytes(cmdline: Buffer, count: number): number | undefined {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const parts: Buffer[] = [];
  for (let at = 0; at < cmdline.length; ) {
    const end = cmdline.indexOf(0, at);
    parts.push(cmdline.subarray(at, end === -1 ? cmdline.length : end));
    at = (end === -1 ? cmdline.length : end) + 1;
  }
  const place = parts.slice(-count).findIndex((part) => {
    try {
      decoder.decode(part);
      return false;
    } catch {
      return true;
    }
  });
  return place === -1 ? undefined : place + 1;
}

/** @throws BangerError `argument_not_utf8` when this process has such an argument */
export function refuseOtherBytes(argv: readonly string[], path = "/proc/self/cmdline"): void {
  if (!argv.some((argument) => argument.includes(replacement))) return;
  const place = placeOfOtherBytes(readFileSync(path), argv.length);
  if (place === undefined) return;
  throw new BangerError("argument_not_utf8", `argument ${place} is not UTF-8: ${argv[place - 1]}`, {
    hint: `name it in the guest's shell: banger vm exec REF -- sh -c 'ls -- "$(printf "caf\\351.txt")"'`,
  });
}

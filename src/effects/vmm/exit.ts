/** Pure: what the end of a VMM means, from words that the guest or the host has for it, whichever VMM it was. */
import type { ErrorCode } from "../../lib/error-codes.js";
import { BangerError } from "../../lib/errors.js";
import type { ProcessExit } from "../../model/model.js";

export const poweredOff: ProcessExit = { reason: "guest", detail: "the guest powered off" };
const rebooted: ProcessExit = { reason: "reboot", detail: "the guest rebooted" };

/** What its kernel said of a panic, where it says so on its last page: the first words, which are not a guest's for long. */
export function panicked(console: string): ProcessExit {
  const [, words = ""] = /Kernel panic - not syncing: ([^\n]*)/.exec(console) ?? [];
  const clean = words.replace(/[^ -~]/g, "").slice(0, 100);
  return { reason: "panic", detail: `the guest's kernel panicked${clean === "" ? "" : `: ${clean}`}` };
}

/**
 * What a reset of the machine means. A kernel that panics resets it, too; where it has no driver for the device that
 * would tell, its last words do. They are the guest's own words, and so decide nothing but whether it is started again.
 */
export function describeReset(console: string): ProcessExit {
  const said = console.lastIndexOf("Kernel panic - not syncing");
  const orderly = console.lastIndexOf("reboot: Restarting system");
  return said > orderly ? panicked(console.slice(said)) : rebooted;
}

/** A cause of a start that failed, and the words by which it is known. */
export interface StartFailure {
  says: RegExp;
  code: ErrorCode;
  message: string;
  hint: string;
  retry: "never" | "later";
}

/** Those that the host words, whichever program passes it on. */
const hostFailures: readonly StartFailure[] = [
  {
    says: /Cannot allocate memory|cannot set up guest memory/,
    code: "memory_short",
    message: "the host does not have enough memory for this VM",
    hint: "free -m; stop a VM with: banger vm stop, or create this one with less --memory",
    retry: "later",
  },
  {
    says: /Could not access KVM|failed to initialize kvm|Error creating KVM object/i,
    code: "kvm_unusable",
    message: "KVM cannot be used",
    hint: "banger doctor",
    retry: "never",
  },
  {
    says: /Address already in use/,
    code: "port_taken",
    message: "an address that the VMM needs is in use",
    hint: "ss -ltnp",
    retry: "later",
  },
  {
    says: /No space left on device|Disk quota exceeded/,
    code: "disk_full",
    message: "no space is left on the disk of the VM",
    hint: "df -h; then free some space, for example with: banger vm prune",
    retry: "later",
  },
];

/** The error for words of a VMM whose cause is known, be it one of the host's or one of that VMM's `own`. */
export function failureNamed(
  words: string,
  said: string,
  own: readonly StartFailure[] = [],
): BangerError | undefined {
  const known = [...own, ...hostFailures].find(({ says }) => says.test(words));
  if (known === undefined) return undefined;
  return new BangerError(known.code, `${known.message}: ${said}`, { hint: known.hint, retry: known.retry });
}

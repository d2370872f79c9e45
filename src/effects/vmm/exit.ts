/** Pure: what the end of a QEMU process means, from its last event, its exit status and its last words. */
import type { ErrorCode } from "../../lib/error-codes.js";
import { BangerError } from "../../lib/errors.js";
import type { ProcessExit, VmId } from "../../model/model.js";

export interface ChildExit {
  code: number | null;
  signal: string | null;
}

/** Everything that was seen of the end; each part may be missing. */
export interface VmmEnd {
  /** `reason` of the QMP event SHUTDOWN. */
  shutdownReason?: string;
  /** The end of console.log. */
  console?: string;
  /** This daemon asked the process to end. */
  asked: boolean;
  /** Known only to the daemon that started the process. */
  child?: ChildExit;
  /** The last line of vmm.log, when it has one. */
  lastLine?: string;
}

const poweredOff: ProcessExit = { reason: "guest", detail: "the guest powered off" };
const rebooted: ProcessExit = { reason: "reboot", detail: "the guest rebooted" };

/** What its kernel said of a panic, where it says so on its last page: the first words, which are not a guest's for long. */
function panicked(console: string): ProcessExit {
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

const guestEnds: Readonly<Record<string, (console: string) => ProcessExit>> = {
  "guest-shutdown": () => poweredOff,
  "guest-reset": describeReset,
  "guest-panic": panicked,
};

/** How the VMM ended, as the log records it. */
export function describeEnd({ shutdownReason, asked, child, lastLine, console = "" }: VmmEnd): ProcessExit {
  const guest = guestEnds[shutdownReason ?? ""];
  if (guest !== undefined) return guest(console);
  if (asked) return { reason: "asked", detail: "QEMU was ended as asked" };
  if (shutdownReason === "host-qmp-quit")
    return { reason: "asked", detail: "QEMU was told to quit through its control socket" };
  if (child?.signal) return { reason: "lost", detail: `QEMU was killed by ${child.signal}` };
  if (shutdownReason === "host-signal")
    return { reason: "lost", detail: "QEMU was ended by a signal from outside" };
  if (child?.code)
    return {
      reason: "lost",
      detail: `QEMU exited with status ${child.code}${lastLine ? `: ${lastLine}` : ""}`,
    };
  const detail =
    shutdownReason === undefined
      ? "QEMU ended without a word: it was killed or it crashed"
      : `QEMU ended: ${shutdownReason}`;
  return { reason: "lost", detail };
}

interface StartFailure {
  says: RegExp;
  code: ErrorCode;
  message: string;
  hint: string;
  retry: "never" | "later";
}

const startFailures: readonly StartFailure[] = [
  {
    says: /^banger-launcher: \S*qemu\S*: No such file/m,
    code: "qemu_missing",
    message: "QEMU is not installed",
    hint: "apt-get install -y qemu-system-x86",
    retry: "never",
  },
  {
    says: /Failed to get "(write|consistent read)" lock|Failed to lock byte/,
    code: "disk_in_use",
    message: "another process has the VM's disk open",
    hint: "pgrep -af guest=banger-",
    retry: "later",
  },
  {
    says: /Cannot allocate memory|cannot set up guest memory/,
    code: "memory_short",
    message: "the host has not enough memory for this VM",
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
    message: "an address that QEMU needs is in use",
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

/** The last lines of a log, without the program's name before them. */
export function lastLines(log: string, count: number): string[] {
  const lines = log.split("\n").map((line) => line.replace(/^\S*qemu-system-\S+: /, "").trim());
  return lines.filter((line) => line !== "").slice(-count);
}

/** The error for words of a VMM whose cause is known. */
export function failureNamed(words: string, said: string): BangerError | undefined {
  const known = startFailures.find(({ says }) => says.test(words));
  if (known === undefined) return undefined;
  return new BangerError(known.code, `${known.message}: ${said}`, { hint: known.hint, retry: known.retry });
}

/** Why QEMU ended before it answered: a named cause where its log tells one, else `vmm_failed` with the log's end. */
export function startError(id: VmId, log: string, child: ChildExit | undefined): BangerError {
  const said = lastLines(log, 3).join("; ");
  const cause = child?.signal ? `killed by ${child.signal}` : `status ${child?.code ?? "unknown"}`;
  const otherwise = `QEMU ended before it answered (${cause})${said ? `: ${said}` : ""}`;
  const hint = `banger vm logs ${id} --source vmm`;
  return failureNamed(log, said) ?? new BangerError("vmm_failed", otherwise, { hint, retry: "later" });
}

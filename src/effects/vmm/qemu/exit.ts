/** Pure: what the end of a QEMU process means, from its last event, its exit status and its last words. */
import { BangerError } from "../../../lib/errors.js";
import type { ProcessExit, VmId } from "../../../model/model.js";
import { describeReset, failureNamed, panicked, poweredOff, type StartFailure } from "../exit.js";

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

const guestEnds: Readonly<Record<string, (console: string) => ProcessExit>> = {
  "guest-shutdown": () => poweredOff,
  "guest-reset": describeReset,
  "guest-panic": panicked,
};

/** How the VMM ended, as the log records it. */
export function describeEnd({ shutdownReason, asked, child, lastLine, console = "" }: VmmEnd): ProcessExit {
  const guest = guestEnds[shutdownReason ?? ""];
  if (guest !== undefined) return guest(console);
  if (asked) return { reason: "asked", detail: "QEMU was stopped as requested" };
  if (shutdownReason === "host-qmp-quit")
    return { reason: "asked", detail: "QEMU was told to quit through its control socket" };
  if (child?.signal) return { reason: "lost", detail: `QEMU was killed by ${child.signal}` };
  if (shutdownReason === "host-signal")
    return { reason: "lost", detail: "QEMU was stopped by an outside signal" };
  if (child?.code)
    return {
      reason: "lost",
      detail: `QEMU exited with status ${child.code}${lastLine ? `: ${lastLine}` : ""}`,
    };
  const detail =
    shutdownReason === undefined
      ? "QEMU exited unexpectedly (killed or crashed; no message)"
      : `QEMU ended: ${shutdownReason}`;
  return { reason: "lost", detail };
}

const ownFailures: readonly StartFailure[] = [
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
];

/** The last lines of a log, without the program's name before them. */
export function lastLines(log: string, count: number): string[] {
  const lines = log.split("\n").map((line) => line.replace(/^\S*qemu-system-\S+: /, "").trim());
  return lines.filter((line) => line !== "").slice(-count);
}

/** Why QEMU ended before it answered: a named cause where its log tells one, else `vmm_failed` with the log's end. */
export function startError(id: VmId, log: string, child: ChildExit | undefined): BangerError {
  const said = lastLines(log, 3).join("; ");
  const cause = child?.signal ? `killed by ${child.signal}` : `status ${child?.code ?? "unknown"}`;
  const otherwise = `QEMU exited before it answered (${cause})${said ? `: ${said}` : ""}`;
  const hint = `banger vm logs ${id} --source vmm`;
  return (
    failureNamed(log, said, ownFailures) ?? new BangerError("vmm_failed", otherwise, { hint, retry: "later" })
  );
}

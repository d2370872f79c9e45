/** Tells a VM's jailed Firecracker from every other process, and signals it by a handle that no other can get. */
import { closeSync, readdirSync, readFileSync, statSync } from "node:fs";
import { vmHandles } from "../../src/home/handles.js";
import type { ProcessIdentity, VmId } from "../../src/model/model.js";
import { libc } from "../libc.js";
import type { Metadata } from "../metadata.js";

/** pidfd_open(2) and pidfd_send_signal(2): their numbers are the same on every architecture. */
const openNumber = 434;
const sendNumber = 424;
const syscallOpen = libc("long syscall(long number, int pid, unsigned int flags)");
const syscallSend = libc("long syscall(long number, int pidfd, int signal, void *info, unsigned int flags)");

export const signals = { SIGTERM: 15, SIGKILL: 9 } as const;

const gone = (error: unknown): boolean =>
  ["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");

/** Undefined when the process is gone. */
function orGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (gone(error)) return undefined;
    throw error;
  }
}

/** PF_EXITING among the flags of a process (field 9): it has no memory, no root and no arguments any more. */
const exiting = 0x4;

/** Field 22 of its stat file; undefined for one that is gone, is on its way, or is only not yet waited for. */
export function startTimeOf(pid: number): string | undefined {
  const stat = orGone(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  // The name of the program stands in parentheses, and may hold some itself.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  if (["Z", "X", undefined].includes(fields[0]) || (Number(fields[6]) & exiting) !== 0) return undefined;
  return fields[19];
}

const argvOf = (pid: number): string[] =>
  (orGone(() => readFileSync(`/proc/${pid}/cmdline`, "utf8")) ?? "").split("\0");

/** Real, effective, saved and file system uid. */
const uidsOf = (pid: number): string[] =>
  /^Uid:\t(.*)$/m.exec(orGone(() => readFileSync(`/proc/${pid}/status`, "latin1")) ?? "")?.[1]?.split("\t") ??
  [];

/**
 * Whether it is the VM's Firecracker: called as jailer calls it, confined to the VM's jail, and nobody's but the
 * owner's. The last makes it one that the owner could signal without the helper, whatever he dresses it up as.
 */
export function isVmm(pid: number, vmId: VmId, { home, owner }: Metadata): boolean {
  const { jailId, jailRoot } = vmHandles(home, vmId);
  const [program, option, id] = argvOf(pid);
  if (program !== "/firecracker" || option !== "--id" || id !== jailId) return false;
  const uids = uidsOf(pid);
  if (uids.length !== 4 || uids.some((uid) => uid !== String(owner.uid))) return false;
  const jail = orGone(() => statSync(jailRoot, { bigint: true }));
  const root = orGone(() => statSync(`/proc/${pid}/root`, { bigint: true }));
  return jail !== undefined && root !== undefined && jail.dev === root.dev && jail.ino === root.ino;
}

/** Every process of which jailer's or Firecracker's own arguments say that it serves this VM, ended ones left out. */
export function processesNaming(jailId: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const argv = argvOf(pid);
      return argv.some((argument, index) => argument === "--id" && argv[index + 1] === jailId);
    })
    .filter((pid) => startTimeOf(pid) !== undefined);
}

/** The VM's Firecracker, if there is one. */
export function findVmm(vmId: VmId, metadata: Metadata): ProcessIdentity | undefined {
  for (const pid of processesNaming(vmHandles(metadata.home, vmId).jailId)) {
    const startTime = startTimeOf(pid);
    if (startTime !== undefined && isVmm(pid, vmId, metadata)) return { pid, startTime };
  }
  return undefined;
}

/**
 * Sends the signal if `isMeant` says so of the process. It is asked once the handle is open: from then on the handle
 * stands for that process and for no later one with its pid. Whether the signal was sent; not, if it is gone.
 */
export function signalIf(pid: number, signal: keyof typeof signals, isMeant: () => boolean): boolean {
  const handle = orGone(() => syscallOpen(openNumber, pid, 0));
  if (handle === undefined) return false;
  try {
    if (!isMeant()) return false;
    return orGone(() => syscallSend(sendNumber, handle, signals[signal], null, 0)) !== undefined;
  } finally {
    closeSync(handle);
  }
}

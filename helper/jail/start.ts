/** Starts a VM's Firecracker in a jail of its own and waits until it listens; takes all back when it does not. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { jailFiles, jailsOf, vmHandles } from "../../src/home/handles.js";
import { pause } from "../../src/lib/clock.js";
import type { ProcessIdentity, VmId } from "../../src/model/model.js";
import type { Params } from "../contract.js";
import type { DeviceHost } from "../devices/mapper.js";
import { openat2, pathOnly, resolve } from "../libc.js";
import type { Metadata } from "../metadata.js";
import type { HelperContext } from "../method.js";
import { pathOf } from "../paths.js";
import { HostFailure, Refusal } from "../refusal.js";
import { executable } from "../trusted.js";
import { makeCgroup } from "./cgroup.js";
import { enterJail } from "./enter.js";
import { openLog, openParts, type Part } from "./parts.js";
import { makePlace } from "./place.js";
import { removeJail } from "./remove.js";
import { findVmm, isVmm, processesNaming, signalIf, startTimeOf } from "./vmm.js";

/** @throws Refusal `vmm-runs`, those of paths.ts, trusted.ts and place.ts; HostFailure `vmm_missing`, `vmm_failed`, … */
export async function startJailed(
  params: Params<"startVmm">,
  context: HelperContext,
  host: DeviceHost,
): Promise<ProcessIdentity> {
  const { metadata, signal } = context;
  const { vmId } = params;
  const { jailRoot, consoleLog } = vmHandles(metadata.home, vmId);
  const running = findVmm(vmId, metadata);
  if (running !== undefined)
    throw new Refusal(
      "vmm-runs",
      `the Firecracker of VM ${vmId} is already running as process ${running.pid}`,
    );
  const open: number[] = [];
  const keep = (fd: number): number => {
    open.push(fd);
    return fd;
  };
  try {
    const { firecracker, jailer } = programs(metadata, keep);
    const parts = openParts(params, metadata, host, keep);
    const output = keep(openLog(consoleLog, metadata.home, metadata.owner));
    await removeJail(vmId, context);
    try {
      const root = keep(makeRoot(jailRoot, parts));
      const argv = jailerArgv(vmId, firecracker, makeCgroup(vmId, params, metadata), metadata);
      const before = fstatSync(output).size;
      const status = await enterJail({ parts, root: jailRoot, jailer, argv, output }, signal);
      if (status !== 0) throw failed(output, before);
      return await waited(vmId, root, metadata, signal, () => failed(output, before));
    } catch (error) {
      await abandon(vmId, context);
      throw error;
    }
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** Judged by their whole paths, so that jailer finds under Firecracker's what was judged. */
function programs({ firecracker, jailer }: Metadata, keep: (fd: number) => number) {
  if (firecracker === null || jailer === null)
    throw new HostFailure("vmm_missing", "Firecracker is not installed", "never", "banger system install");
  // jailer names the chroot after it.
  if (basename(firecracker) !== "firecracker")
    throw new HostFailure("vmm_missing", `${firecracker} is not named firecracker`, "never");
  keep(executable(firecracker));
  return { firecracker, jailer: keep(executable(jailer)) };
}

/** An empty file for each part to be mounted over. It is root's until jailer gives the directory away. */
function makeRoot(jailRoot: string, parts: readonly Part[]): number {
  const root = makePlace(jailRoot);
  for (const { name } of parts) {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    closeSync(openSync(`${pathOf(root)}/${name}`, flags, 0o400));
  }
  return root;
}

/** Arguments that are not jailer's own are passed on to Firecracker. */
function jailerArgv(
  vmId: VmId,
  firecracker: string,
  cgroup: string | undefined,
  { home, owner }: Metadata,
): string[] {
  return [
    ...["--id", vmHandles(home, vmId).jailId, "--exec-file", firecracker],
    ...["--uid", String(owner.uid), "--gid", String(owner.gid), "--chroot-base-dir", jailsOf(home)],
    // Without properties of its own to set, it moves itself into the group that is there.
    ...(cgroup === undefined ? [] : ["--cgroup-version", "2", "--parent-cgroup", cgroup]),
    "--new-pid-ns",
    ...["--", "--api-sock", jailFiles.apiSocket, "--log-path", jailFiles.vmmLog],
  ];
}

const pollMs = 5;

/** Resolves when it listens; `failure` says why it ended before. */
async function waited(
  vmId: VmId,
  root: number,
  metadata: Metadata,
  signal: AbortSignal,
  failure: () => HostFailure,
): Promise<ProcessIdentity> {
  const { jailId } = vmHandles(metadata.home, vmId);
  let vmm: ProcessIdentity | undefined;
  for (;;) {
    signal.throwIfAborted();
    vmm ??= findVmm(vmId, metadata);
    if (vmm === undefined && processesNaming(jailId).length === 0) throw failure();
    if (vmm !== undefined && startTimeOf(vmm.pid) !== vmm.startTime) throw failure();
    if (vmm !== undefined && isSocket(root, jailFiles.apiSocket.slice(1))) return vmm;
    await pause(pollMs);
  }
}

function isSocket(dir: number, path: string): boolean {
  let fd: number;
  try {
    fd = openat2(dir, path, pathOnly, 0, resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks);
  } catch {
    return false;
  }
  try {
    return fstatSync(fd).isSocket();
  } finally {
    closeSync(fd);
  }
}

const longestReason = 400;

/** jailer and Firecracker say on the console what is wrong. */
function failed(output: number, before: number): HostFailure {
  const length = Math.min(fstatSync(output).size - before, longestReason);
  const text = Buffer.alloc(Math.max(length, 0));
  readSync(output, text, 0, text.length, fstatSync(output).size - text.length);
  const last = text.toString("utf8").trim().split("\n").at(-1);
  return new HostFailure(
    "vmm_failed",
    last === undefined || last === "" ? "Firecracker exited immediately" : last,
  );
}

/** How long a killed Firecracker may take to be gone. */
const patience = { times: 200, ms: 10 } as const;

/** Nothing stays of a start that failed; what cannot be taken away now, `ensureNoJail` finds. */
async function abandon(vmId: VmId, { metadata, run }: HelperContext): Promise<void> {
  const { jailId } = vmHandles(metadata.home, vmId);
  for (let time = 0; time < patience.times; time++) {
    const left = processesNaming(jailId);
    if (left.length === 0) break;
    for (const pid of left) signalIf(pid, "SIGKILL", () => isVmm(pid, vmId, metadata));
    await pause(patience.ms);
  }
  // The call's own time may be up.
  const { signal } = new AbortController();
  if (findVmm(vmId, metadata) === undefined)
    await removeJail(vmId, { metadata, run, signal }).catch(() => {});
}

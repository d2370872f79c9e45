/** A home with a VM that can be started: with a double of jailer and Firecracker, made for the test. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Params } from "../../helper/contract.js";
import { removeCgroup } from "../../helper/jail/cgroup.js";
import { signalIf } from "../../helper/jail/vmm.js";
import type { HelperContext } from "../../helper/method.js";
import { imageHandles, type VmHandles, vmHandles } from "../../src/home/handles.js";
import { contextFor, imageId, owner, ownFile } from "./device-place.js";
import { needsRoot, trustedPlace } from "./trusted-place.js";

const source = new URL("../../../tests/helper/jail-double.c", import.meta.url).pathname;

/** Why a test with the double is left out. */
export const needsJail =
  needsRoot || (spawnSync("musl-gcc", ["--version"]).status !== 0 && "needs musl-gcc to make the double");

export interface JailPlace {
  top: string;
  context: HelperContext;
  vmId: string;
  handles: VmHandles;
  params: Params<"startVmm">;
  /** A file of root's that nothing may change. */
  secret: string;
}

export const initrd = "initrd-0123456789abcdef.cpio";

export function jailPlace(t: { after: (done: () => unknown) => void }): JailPlace {
  const top = trustedPlace(t);
  const vmId = randomBytes(4).toString("hex");
  const context = contextFor(top);
  const { home } = context.metadata;
  const handles = vmHandles(home, vmId);
  const image = imageHandles(home, imageId);
  for (const path of [handles.directory, image.directory, `${top}/bin`]) mkdirSync(path, { recursive: true });
  for (const path of [handles.directory, image.directory, dirname(handles.directory)])
    chownSync(path, owner.uid, owner.gid);
  ownFile(image.kernel, "kernel");
  ownFile(`${image.directory}/${initrd}`, "initrd");
  ownFile(handles.seed, "runs");
  ownFile(handles.workDisk, "work");
  ownFile(handles.rootFile, "root");
  writeFileSync(`${top}/secret`, "secret", { mode: 0o600 });
  context.metadata.firecracker = `${top}/bin/firecracker`;
  context.metadata.jailer = `${top}/bin/jailer`;
  const params = { vmId, imageId, initrd, rootDisk: "file", vcpu: 1, memoryMiB: 64 } as const;
  t.after(async () => {
    endAll(handles);
    await ended(handles);
    await removeCgroup(vmId, context.metadata);
  });
  return { top, context, vmId, handles, params, secret: `${top}/secret` };
}

let compiled: Buffer | undefined;

/** With the double as both programs; it is compiled once for all places of a test file. */
export function doubledPlace(t: { after: (done: () => unknown) => void }): JailPlace {
  const place = jailPlace(t);
  for (const name of ["firecracker", "jailer"]) {
    const path = `${place.top}/bin/${name}`;
    if (compiled === undefined) {
      execFileSync("musl-gcc", ["-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", path, source]);
      compiled = readFileSync(path);
    }
    writeFileSync(path, compiled, { mode: 0o755 });
  }
  return place;
}

/** Those of which the arguments name the jail. */
export const processesOf = ({ jailId }: Pick<VmHandles, "jailId">): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const running = !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
        return running && readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(jailId);
      } catch {
        return false;
      }
    });

/** Ends what a test has left running. */
function endAll(handles: VmHandles): void {
  for (const pid of processesOf(handles)) signalIf(pid, "SIGKILL", () => processesOf(handles).includes(pid));
}

/** Resolves when none of them runs any more. */
export async function ended(handles: VmHandles): Promise<void> {
  while (processesOf(handles).length > 0) await new Promise((resolve) => setImmediate(resolve));
}

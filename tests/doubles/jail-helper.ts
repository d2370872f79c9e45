/** A double of the root helper's part in running Firecracker: the same methods, without root, around a double of it. */
import { spawn } from "node:child_process";
import { linkSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { MethodName, Params, Result } from "../../helper/contract.js";
import type { HelperCalls } from "../../src/effects/helper/calls.js";
import { firecrackerSigns } from "../../src/effects/vmm/firecracker/signs.js";
import { findVmm } from "../../src/effects/vmm/processes.js";
import { type Home, jailFiles, vmHandles } from "../../src/home/handles.js";
import { identify, isAlive } from "../../src/host/processes.js";
import { BangerError } from "../../src/lib/errors.js";
import type { ProcessIdentity, VmId } from "../../src/model/model.js";

const program = fileURLToPath(new URL("./firecracker-double.js", import.meta.url));

export interface JailHelper extends HelperCalls {
  /** What Firecrackers that are started from now on do wrong; see firecracker-double.ts. */
  harm: string;
  /** The methods that were called, in order. */
  readonly called: MethodName[];
  /** Ends every Firecracker that it started. */
  close(): void;
}

function makeJail(home: Home, id: VmId): void {
  const { jailRoot, vmmLog, workDisk, seed, rootFile } = vmHandles(home, id);
  mkdirSync(`${jailRoot}/run`, { recursive: true });
  for (const path of [jailFiles.kernel, jailFiles.initrd]) writeFileSync(`${jailRoot}${path}`, "");
  const links = { [jailFiles.vmmLog]: vmmLog, [jailFiles.work]: workDisk, [jailFiles.seed]: seed };
  for (const [path, target] of Object.entries({ ...links, [jailFiles.root]: rootFile }))
    linkSync(target, `${jailRoot}${path}`);
}

/** Resolves when it listens: by then it can be told apart by what /proc shows of it. */
function start(home: Home, id: VmId, harm: string): Promise<ProcessIdentity> {
  const { jailRoot, jailId, consoleLog, vmmLog } = vmHandles(home, id);
  const output = openSync(consoleLog, "a");
  const argv = ["--id", jailId, "--api-sock", jailFiles.apiSocket, "--log-path", jailFiles.vmmLog];
  const child = spawn(process.execPath, [program, ...argv, "--harm", harm], {
    argv0: "/firecracker",
    cwd: jailRoot,
    detached: true,
    stdio: ["ignore", output, openSync(vmmLog, "a")],
  });
  child.unref();
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => {
      const seen = identify(child.pid ?? 0);
      if (seen.is === "present") resolve({ pid: seen.pid, startTime: seen.startTime });
      else reject(new Error("the double ended at once"));
    });
  });
}

export function jailHelper(home: Home): JailHelper {
  const started: ProcessIdentity[] = [];
  const kill = (identity: ProcessIdentity) => {
    if (isAlive(identity)) process.kill(identity.pid, "SIGKILL");
  };
  const methods: { [M in MethodName]?: (params: Params<M>) => Promise<Result<M>> } = {
    async startVmm({ vmId }) {
      rmSync(vmHandles(home, vmId).jail, { recursive: true, force: true });
      makeJail(home, vmId);
      const identity = await start(home, vmId, helper.harm);
      started.push(identity);
      return identity;
    },
    async signalVmm({ pid, startTime }) {
      kill({ pid, startTime });
      return {};
    },
    async ensureNoJail({ vmId }) {
      if (findVmm(home, [firecrackerSigns], vmId) !== undefined)
        throw new BangerError("helper_refused", "the Firecracker of the VM runs", { retry: "later" });
      rmSync(vmHandles(home, vmId).jail, { recursive: true, force: true });
      return {};
    },
  };
  const helper: JailHelper = {
    harm: "",
    called: [],
    async call(method, params) {
      helper.called.push(method);
      const act = methods[method];
      if (act === undefined) throw new BangerError("helper_refused", `${method} is not doubled`);
      return act(params);
    },
    close() {
      for (const identity of started) kill(identity);
    },
  };
  return helper;
}

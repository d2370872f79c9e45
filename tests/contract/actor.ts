/** A world on a host that a test may meddle with, and the deeds and looks of which the contract is made. */
import assert from "node:assert/strict";
import type { World } from "../../src/loop/world.js";
import type { Effect, ImageId, ObservedVm, ProcessIdentity, VmId } from "../../src/model/model.js";
import { publicNet } from "../../src/model/net-policy.js";

/** What a test may do to the helper of system mode, and to what only that can make. */
export interface HelperBench {
  /** It answers nothing from now on; the result undoes that. */
  leave: () => Promise<() => Promise<void>>;
  /** Takes banger's firewall rules away, as whoever loads other ones does. */
  flushFirewall: () => void;
  deleteBridge: () => void;
  /** All that only the helper can make, as it is now. */
  show: () => unknown;
  /** Takes a loop device away from under the VM's root device, or nothing where root disks are no devices. */
  breakDevice?: (id: VmId) => void;
}

/** One world on a host of its own, and what a test may do to that host behind the world's back. */
export interface Bench {
  world: World;
  /** An image that is ready, and one that can be built. */
  readyImage: ImageId;
  buildableImage: { id: ImageId; name: string };
  /** A loopback address for each number; different homes give different ones. */
  address: (n: number) => string;
  /** The daemon dies and another one starts on the same host. */
  restart: () => Promise<void>;
  /** What is sent to the port comes back. Only where there are ports. */
  echoes?: (address: string, port: number) => Promise<void>;
  /** SIGKILL from outside. */
  killProcess: (identity: ProcessIdentity) => void;
  /** Makes it impossible to tell what is in the VM's directory; the result undoes that. */
  hideDirectory: (id: VmId) => () => void;
  /** Leaves a work disk as a crash does between its growth and its file system's. */
  cutGrowthShort: (id: VmId) => void;
  /** From now on the VM's guest cannot make its file system grow. */
  loseResize2fs: (id: VmId) => void;
  /** Leaves a half-built image behind, as a crash does. */
  abandonBuild: (id: ImageId) => void;
  /** Only in system mode. */
  helper?: HelperBench;
  /** Ends every process and removes every file. */
  close: () => Promise<void>;
}

const spec = { vcpu: 1, memoryMiB: 64, diskMiB: 64, net: publicNet };
export class Actor {
  readonly bench: Bench;
  constructor(bench: Bench) {
    this.bench = bench;
  }

  perform(effect: Effect): Promise<void> {
    return this.bench.world.perform(effect, { signal: AbortSignal.timeout(60_000), note: () => {} });
  }

  async see(vmId: VmId): Promise<ObservedVm> {
    const observed = await this.bench.world.observe();
    return observed.vms.get(vmId) ?? observed.unlistedVm;
  }

  async seeImage(id: ImageId) {
    const observed = await this.bench.world.observe();
    return observed.images.get(id) ?? observed.unlistedImage;
  }

  /** Looks again at each wake of the VM until `wanted` holds; a wake that never comes is a failure. */
  seeWhen(vmId: VmId, wanted: (seen: ObservedVm) => boolean): Promise<ObservedVm> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("no wake showed what was waited for")), 15_000);
      const check = async () => {
        const seen = await this.see(vmId);
        if (!wanted(seen)) return;
        clearTimeout(late);
        resolve(seen);
      };
      this.bench.world.onWake((stream) => {
        if (stream === `vm/${vmId}`) check().catch(reject);
      });
      check().catch(reject);
    });
  }

  disk(vmId: VmId, diskMiB = spec.diskMiB, rootMiB = 0): Promise<void> {
    const { readyImage: imageId } = this.bench;
    return this.perform({ kind: "ensureDisk", vmId, imageId, name: `vm-${vmId}`, diskMiB, rootMiB });
  }

  /** What a VMM of this mode stands on beside the VM's files. */
  async prepare(vmId: VmId, address: string): Promise<void> {
    const { readyImage: imageId } = this.bench;
    const { rootDevice, bridgeNetworking } = this.bench.world.capabilities;
    if (rootDevice) await this.perform({ kind: "ensureRootDevice", vmId, imageId });
    if (bridgeNetworking) await this.perform({ kind: "ensureBridge" });
    await this.perform({ kind: "ensureNetwork", vmId, address });
  }

  async process(vmId: VmId, address: string): Promise<ProcessIdentity> {
    const { readyImage: imageId } = this.bench;
    await this.prepare(vmId, address);
    await this.perform({ kind: "ensureProcess", vmId, imageId, name: `vm-${vmId}`, spec, address });
    const { process } = await this.see(vmId);
    assert.equal(process.is, "present");
    const { pid, startTime } = process as { is: "present" } & ProcessIdentity;
    return { pid, startTime };
  }

  async remove(vmId: VmId): Promise<void> {
    const { process } = await this.see(vmId);
    if (process.is === "present") await this.perform({ kind: "ensureNoProcess", vmId, process });
    await this.perform({ kind: "ensureNoNetwork", vmId });
    await this.perform({ kind: "ensureNoPolicy", vmId });
    if (this.bench.world.capabilities.rootDevice) await this.perform({ kind: "ensureNoRootDevice", vmId });
    await this.perform({ kind: "ensureNoRuntime", vmId });
    await this.perform({ kind: "ensureNoDirectory", vmId });
  }
}

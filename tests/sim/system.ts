/** One daemon's reach to the simulated helper: the real drivers of system mode, as far as they need nothing else. */
import type { MethodName, Params, Result } from "../../helper/contract.js";
import { helperRootDevices, type RootDeviceDriver } from "../../src/effects/disk/root-device.js";
import type { HelperCalls } from "../../src/effects/helper/calls.js";
import { type HelperSight, lookThrough, runtimeOf, sightOf } from "../../src/effects/helper/look.js";
import { type BridgeDriver, helperBridge } from "../../src/effects/net/bridge.js";
import type { NetworkDriver } from "../../src/effects/net/network.js";
import { absentVm } from "../../src/model/absent.js";
import type { Effect, ImageId, ObservedVm, ProcessIdentity, VmId, VmSpec } from "../../src/model/model.js";
import type { SimHost } from "./host.js";

/** Calls what another process does, and dies at its boundaries. */
type Reach = <T>(work: () => Promise<T>) => Promise<T>;

type SharedKind = "ensureBridge" | "ensureTapPool" | "ensureResolver";

export class SimSystem implements HelperCalls {
  readonly bridge: BridgeDriver & NetworkDriver;
  readonly rootDevices: RootDeviceDriver;
  readonly #host: SimHost;
  readonly #reach: Reach;

  constructor(host: SimHost, reach: Reach) {
    this.#host = host;
    this.#reach = reach;
    this.bridge = helperBridge(this);
    this.rootDevices = helperRootDevices(this);
  }

  call<M extends MethodName>(method: M, params: Params<M>): Promise<Result<M>> {
    return this.#reach(() => this.#host.helper.call(method, params));
  }

  async look(): Promise<HelperSight> {
    if (this.#host.mode === "user") return sightOf(undefined);
    const helper: HelperCalls = { call: (method, params) => this.#host.helper.call(method, params) };
    return lookThrough(helper, new AbortController().signal);
  }

  /** What all VMs share. */
  async share(effect: Extract<Effect, { kind: SharedKind }>, signal: AbortSignal): Promise<void> {
    if (effect.kind === "ensureBridge") return this.bridge.ensureBridge(signal);
    if (effect.kind === "ensureTapPool") return this.bridge.ensureTapPool(effect.size, signal);
    return this.bridge.ensureResolver(effect.port, signal);
  }

  async start(vmId: VmId, imageId: ImageId, { vcpu, memoryMiB }: VmSpec): Promise<void> {
    const initrd = "initrd-0123456789abcdef.cpio";
    await this.call("startVmm", { vmId, imageId, initrd, rootDisk: "device", vcpu, memoryMiB });
  }

  async signal(vmId: VmId, { pid, startTime }: ProcessIdentity): Promise<void> {
    await this.call("signalVmm", { vmId, pid, startTime, signal: "SIGKILL" });
  }

  async removeJail(vmId: VmId): Promise<void> {
    await this.call("ensureNoJail", { vmId });
  }
}

/** What holds for a VM of which there is no entry. */
export function unlisted(sight: HelperSight): ObservedVm {
  const { jail, ...held } = sight.unlisted;
  return { ...absentVm, ...held, runtime: runtimeOf(absentVm.directory, jail) };
}

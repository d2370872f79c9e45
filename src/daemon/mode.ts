/** Which drivers this host's mode has: user mode's, or those that the root helper lends its hand to. */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import type { Params, Result } from "../../helper/contract.js";
import type { Config } from "../config/form.js";
import type { HelperCalls } from "../effects/helper/calls.js";
import { helperClient } from "../effects/helper/client.js";
import type { FirecrackerOptions } from "../effects/vmm/firecracker/firecracker.js";
import { firecrackerVersion } from "../effects/vmm/firecracker/version.js";
import type { QemuNetwork, RootDisk } from "../effects/vmm/qemu/argv.js";
import { bridgeRange, loopbackRange } from "../home/addresses.js";
import { systemHandles, type VmHandles } from "../home/handles.js";
import { addressBlock, type Installed, type Place } from "../host/home.js";
import { kvmState } from "../host/kvm.js";
import type { Clock } from "../lib/clock.js";
import { deadline } from "../lib/deadline.js";
import { BangerError, errorBody } from "../lib/errors.js";
import type { Warn } from "../lib/warn.js";
import { systemParts } from "./mode-system.js";
import { type ModeParts, userParts } from "./mode-user.js";

export interface LocalMode {
  parts: ModeParts;
  /** What runs VMs that are started from now on. */
  vmm: "firecracker" | "qemu";
  /** What a QEMU is given. */
  rootOf(handles: VmHandles): RootDisk;
  networkOf(address: string): QemuNetwork;
  /** Devices that it opens beside those of every mode. */
  devicesOf(handles: VmHandles): string[];
}

export interface LocalModeOptions {
  place: Place;
  config: Config;
  clock: Clock;
  prepare: FirecrackerOptions["prepare"];
  warn: Warn;
}

const aboutMs = 10_000;

type About = Result<"about">;

/** Firecracker where all that it needs is usable, if nobody wants it otherwise. */
export function systemVmm(
  wanted: Config["vmm"],
  { kvm, firecracker }: { kvm: boolean; firecracker: boolean },
): "firecracker" | "qemu" {
  if (wanted !== "auto") return wanted;
  return kvm && firecracker ? "firecracker" : "qemu";
}

/** What the helper can use; undefined where it does not say. */
async function askAbout(helper: HelperCalls, clock: Clock, warn: Warn): Promise<About | undefined> {
  const late = () => new BangerError("helper_unreachable", "the helper does not answer", { retry: "later" });
  const bound = deadline(clock, aboutMs, late);
  try {
    return await helper.call("about", {} satisfies Params<"about">, bound.signal);
  } catch (thrown) {
    warn("the helper does not say what this host has", { error: errorBody(thrown) });
    return undefined;
  } finally {
    bound.release();
  }
}

/** The device-mapper is loaded, or the kernel's modules have one that is loaded when it is asked for. */
function kernelHasMapper(): boolean {
  const says = (path: string, words: RegExp) => existsSync(path) && words.test(readFileSync(path, "utf8"));
  return (
    says("/proc/misc", /device-mapper/) || says(`/lib/modules/${release()}/modules.devname`, /^dm_mod /m)
  );
}

const isUsable = (about: About | undefined, { firecracker }: Installed): boolean => {
  if (about === undefined) return firecracker !== null;
  return about.firecracker !== null && "version" in firecrackerVersion(about.firecracker);
};

/** @throws BangerError `vmm_unusable` for a VMM that this mode does not have */
export async function localMode(options: LocalModeOptions): Promise<LocalMode> {
  const { place, config, clock, prepare, warn } = options;
  if (place.mode === "user") {
    if (config.vmm === "firecracker")
      throw new BangerError("vmm_unusable", "Firecracker runs VMs in system mode alone", {
        hint: 'sudo banger system install, or set vmm = "auto" in config.toml',
      });
    return {
      parts: userParts("qemu-img", loopbackRange(addressBlock(place.home))),
      vmm: "qemu",
      rootOf: ({ rootDisk }) => ({ format: "qcow2", path: rootDisk }),
      networkOf: () => ({ kind: "user" }),
      devicesOf: () => [],
    };
  }
  const { home, installed } = place;
  const { address: gateway, prefixLength } = installed.network;
  const helper = helperClient(systemHandles().helperSocket);
  const about = await askAbout(helper, clock, warn);
  const deviceMapper = about?.deviceMapper ?? kernelHasMapper();
  const vmm = systemVmm(config.vmm, {
    kvm: (await kvmState()).usable,
    firecracker: isUsable(about, installed),
  });
  const network = { prefixLength, gateway, dns: config.network.dns };
  return {
    parts: systemParts({
      home,
      clock,
      helper,
      addresses: bridgeRange(gateway, prefixLength),
      tapPoolSize: config.network.tapPoolSize,
      deviceMapper,
      vmm,
      firecracker: { prepare, network, rateLimits: config.rateLimits },
      warn,
    }),
    vmm,
    rootOf: ({ rootDevice, rootFile }) => ({ format: "raw", path: deviceMapper ? rootDevice : rootFile }),
    networkOf: (address) => ({ kind: "tap", guest: { address, ...network } }),
    devicesOf: ({ rootDevice }) => ["/dev/net/tun", ...(deviceMapper ? [rootDevice] : [])],
  };
}

/** Which drivers this host's mode has: user mode's, or those that the root helper lends its hand to. */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import type { Params, Result } from "../../helper/contract.js";
import type { Config } from "../config/form.js";
import type { HelperCalls } from "../effects/helper/calls.js";
import { helperClient } from "../effects/helper/client.js";
import type { SystemLoan, VmmKind } from "../effects/vmm/vmm.js";
import { bridgeRange, loopbackRange } from "../home/addresses.js";
import { systemHandles } from "../home/handles.js";
import { addressBlock, type Place } from "../host/home.js";
import { kvmState } from "../host/kvm.js";
import type { Clock } from "../lib/clock.js";
import { deadline } from "../lib/deadline.js";
import { BangerError, errorBody } from "../lib/errors.js";
import type { Warn } from "../lib/warn.js";
import { systemParts } from "./mode-system.js";
import { type ModeParts, userParts } from "./mode-user.js";
import { chooseVmm } from "./vmms.js";

export interface LocalMode {
  parts: ModeParts;
  /** What runs VMs that are started from now on. */
  starts: VmmKind;
  /** What VMMs are lent. */
  system: SystemLoan | undefined;
}

export interface LocalModeOptions {
  place: Place;
  config: Config;
  clock: Clock;
  /** Of programs that are started. */
  environment: Readonly<Record<string, string>>;
  warn: Warn;
}

const aboutMs = 10_000;

type About = Result<"about">;

/** What the helper can use; undefined where it does not say. */
async function askAbout(helper: HelperCalls, clock: Clock, warn: Warn): Promise<About | undefined> {
  const late = () => new BangerError("helper_unreachable", "the helper does not answer", { retry: "later" });
  const bound = deadline(clock, aboutMs, late);
  try {
    return await helper.call("about", {} satisfies Params<"about">, bound.signal);
  } catch (thrown) {
    warn("the helper does not report what this host has", { error: errorBody(thrown) });
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

/** @throws BangerError `vmm_unusable` for a VMM that this mode does not have */
export async function localMode(options: LocalModeOptions): Promise<LocalMode> {
  const { place, config, clock, environment, warn } = options;
  if (place.mode === "user") {
    return {
      parts: userParts({
        ...{ home: place.home, clock, qemuImg: "qemu-img", environment },
        addresses: loopbackRange(addressBlock(place.home)),
      }),
      starts: chooseVmm(config.vmm, undefined),
      system: undefined,
    };
  }
  const { firecracker, network } = place.installed;
  const { address: gateway, prefixLength } = network;
  const helper = helperClient(systemHandles().helperSocket);
  const about = await askAbout(helper, clock, warn);
  const deviceMapper = about?.deviceMapper ?? kernelHasMapper();
  const { dns } = config.network;
  const addresses = bridgeRange(gateway, prefixLength);
  return {
    parts: systemParts({ clock, helper, addresses, deviceMapper }),
    starts: chooseVmm(config.vmm, { kvm: (await kvmState()).usable, about, firecracker }),
    system: {
      helper,
      rootDisk: deviceMapper ? "device" : "file",
      network: { prefixLength, gateway, dns },
    },
  };
}

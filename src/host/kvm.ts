/** Whether KVM can really run a guest here and now: the CPU has what it needs, and the device makes a VM. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { BangerError } from "../lib/errors.js";
import type { Accelerator } from "../model/model.js";
import { launcherProgram } from "./launcher.js";

/** Whether /proc/cpuinfo lists vmx (Intel) or svm (AMD). */
function hasVirtualization(cpuinfo: string): boolean {
  return /^flags\s*:.*\b(vmx|svm)\b/m.test(cpuinfo);
}

/** Not usable: why, in words that follow "KVM is not used: ", and what may change that. */
export interface KvmUnusable {
  usable: false;
  why: string;
  hint: string;
}

export type KvmState = { usable: true } | KvmUnusable;

const tryMs = 5_000;
const inFirmware = "enable virtualization in the firmware, or nested virtualization around this VM";
/** Groups are those of the login and of the daemon's start. */
const inGroup = "sudo usermod -aG kvm $USER, log in again, then: banger daemon stop";

/** Asked again for each start: modules get loaded, and the device's permissions change, while the daemon runs. */
export async function kvmState(device = "/dev/kvm", cpuinfoPath = "/proc/cpuinfo"): Promise<KvmState> {
  const unusable = (why: string, hint: string): KvmUnusable => ({ usable: false, why, hint });
  try {
    if (!hasVirtualization(readFileSync(cpuinfoPath, "utf8")))
      return unusable("the CPU shows neither vmx nor svm", inFirmware);
    // A device that opens may still refuse, as while another hypervisor has the processor.
    const asked = promisify(execFile)(launcherProgram, ["kvm", device], { timeout: tryMs });
    const said = (await asked).stdout.trim();
    if (said === "ok") return { usable: true };
    return unusable(
      said,
      /denied/.test(said) ? inGroup : `ls -l ${device}; lsmod | grep kvm; dmesg | grep -i kvm`,
    );
  } catch (error) {
    return unusable((error as Error).message, "banger doctor");
  }
}

/** What a QEMU is started with, and why that is not KVM. */
export type Acceleration = { accelerator: Accelerator; why: string | null };

/** @throws BangerError `kvm_unusable` where only KVM would do */
export async function accelerationOf(
  wanted: "auto" | Accelerator,
  state: () => Promise<KvmState> = kvmState,
): Promise<Acceleration> {
  if (wanted === "tcg") return { accelerator: "tcg", why: 'accelerator = "tcg" is configured' };
  const kvm = await state();
  if (kvm.usable) return { accelerator: "kvm", why: null };
  if (wanted === "auto") return { accelerator: "tcg", why: kvm.why };
  throw new BangerError(
    "kvm_unusable",
    `accelerator = "kvm" is configured, but KVM cannot be used: ${kvm.why}`,
    {
      hint: kvm.hint,
    },
  );
}

/** Whether KVM can really run a guest here: the device opens, and the CPU has the extension that it needs. */
import { closeSync, constants, openSync, readFileSync } from "node:fs";

/** Whether /proc/cpuinfo lists vmx (Intel) or svm (AMD). */
function hasVirtualization(cpuinfo: string): boolean {
  return /^flags\s*:.*\b(vmx|svm)\b/m.test(cpuinfo);
}

/** Not usable: why, in words that follow "KVM is not used: ", and what may change that. */
export interface KvmUnusable {
  usable: false;
  why: string;
  mend: string;
}

export function kvmState(device = "/dev/kvm", cpuinfoPath = "/proc/cpuinfo"): { usable: true } | KvmUnusable {
  try {
    if (!hasVirtualization(readFileSync(cpuinfoPath, "utf8")))
      return {
        usable: false,
        why: "the CPU shows neither vmx nor svm",
        mend: "enable virtualization in the firmware, or nested virtualization around this VM",
      };
    closeSync(openSync(device, constants.O_RDWR));
    return { usable: true };
  } catch (error) {
    return { usable: false, why: (error as Error).message, mend: "sudo usermod -aG kvm $USER" };
  }
}

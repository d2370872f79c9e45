/** What the doctor says of system mode: of its parts where it is installed, else only whether they are asked for. */
import type { Result } from "../../helper/contract.js";
import type { DaemonView } from "../contract/daemon.js";
import { type Check, type Fact, fail, judge, pass, warn } from "./check.js";

export interface SystemFacts {
  /** As the configuration has it; null where that cannot be read. */
  vmm: "auto" | "qemu" | "firecracker" | null;
  /** Null where this user has user mode. */
  installed: {
    /** Of this program. */
    version: string;
    helper: Fact<{ about: Result<"about">; look: Result<"look"> }>;
    /** Of the device nodes that VMs need, those that are not there. */
    missingDevices: string[];
  } | null;
}

/** Whether VMs need no QEMU. */
export function runsFirecracker({ vmm, installed }: SystemFacts): boolean {
  if (vmm === "qemu" || installed === null || !("ok" in installed.helper)) return false;
  return installed.helper.ok.about.firecracker !== null;
}

/** All checks, in the order in which they are shown; `network` is what a running daemon tells of it. */
export function systemChecks(
  { vmm, installed }: SystemFacts,
  network: DaemonView["network"] | undefined,
): Check[] {
  if (installed === null) return [notInstalled(vmm)];
  const { version, helper, missingDevices } = installed;
  const ofHelper = judge("helper", helper, "sudo banger system restart", ({ about }) =>
    about.version === version
      ? pass("helper", `version ${version} answers`)
      : warn("helper", `is version ${about.version}, this is ${version}`, "sudo banger system restart"),
  );
  if (!("ok" in helper)) return [ofHelper];
  const { about, look } = helper.ok;
  return [
    ofHelper,
    firecracker(vmm, about),
    devices(missingDevices),
    rootDisks(about, look),
    firewall(about),
    bridge(look, network),
    resolver(about, look),
  ];
}

const resolved = "sudo apt-get install systemd-resolved, or see docs/dns-routing.md";

function notInstalled(vmm: SystemFacts["vmm"]): Check {
  if (vmm !== "firecracker") return pass("system mode", "not installed; user mode does not need it");
  const detail = 'vmm = "firecracker" needs system mode, which is not installed for you';
  return fail("system mode", detail, "sudo banger system install");
}

function firecracker(vmm: SystemFacts["vmm"], { firecracker, problem }: Result<"about">): Check {
  if (firecracker !== null) return pass("firecracker", `${firecracker}, with its jailer`);
  const install = "put a current Firecracker and its jailer into /usr/local/bin; sudo banger system restart";
  if (vmm === "firecracker") return fail("firecracker", problem ?? "not usable", install);
  return pass("firecracker", `not used: ${problem ?? "not usable"}; VMs run in QEMU`);
}

function devices(missing: readonly string[]): Check {
  if (missing.length === 0) return pass("devices", "tun, kvm and loop are available");
  const modules = missing.map((path) => path.slice(path.lastIndexOf("/") + 1).replace("-control", ""));
  return warn("devices", `${missing.join(", ")}: missing`, `sudo modprobe -a ${modules.join(" ")}`);
}

function rootDisks({ deviceMapper }: Result<"about">, { rootDevices }: Result<"look">): Check {
  if (!deviceMapper) return pass("device-mapper", "not in this kernel; root disks are copies of the image");
  if ("ids" in rootDevices) return pass("device-mapper", "root disks are snapshots of the image");
  return warn("device-mapper", rootDevices.unknown, "journalctl -u banger-helper");
}

function firewall({ firewall }: Result<"about">): Check {
  if (firewall !== null) return pass("firewall", firewall);
  return fail(
    "firewall",
    "neither nft nor iptables works: VMs have no network",
    "sudo apt-get install nftables",
  );
}

const helperLog = "journalctl -u banger-helper";

function bridge({ bridge: seen }: Result<"look">, network: DaemonView["network"] | undefined): Check {
  const failure = network?.error;
  if (failure) {
    const detail = `${failure.effect} failed and will be retried: ${failure.message}`;
    return warn("bridge", detail, failure.hint ?? helperLog);
  }
  if (typeof seen === "object") return warn("bridge", seen.unknown, helperLog);
  if (seen) return pass("bridge", "is there, with its rules");
  return network
    ? warn("bridge", "is missing; the daemon creates it", "banger daemon status")
    : pass("bridge", "is created when the daemon starts");
}

function resolver({ resolver: usable }: Result<"about">, { resolver: seen }: Result<"look">): Check {
  if (!usable)
    return warn("resolver", "resolvectl does not answer: names such as box.vm are not routed", resolved);
  if (seen !== null && "port" in seen && seen.port !== null)
    return pass("resolver", `systemd-resolved asks for names such as box.vm at port ${seen.port}`);
  return pass("resolver", "systemd-resolved is running; a daemon that answers names configures it");
}

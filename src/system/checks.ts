/** What a host must have before system mode is installed on it; nothing is changed. */
import { closeSync, existsSync } from "node:fs";
import { openTool, tools } from "../../helper/tools.js";
import { BangerError } from "../lib/errors.js";

export interface HostTraits {
  /** As `process.arch` has it. */
  architecture: string;
  /** Whether systemd is this host's init (sd_booted(3)). */
  systemd: boolean;
  /** What the helper cannot do without. */
  tools: { ip: boolean; firewall: boolean };
}

/** Whether the host has it in a form that the helper would run. */
function hasTool(name: keyof typeof tools): boolean {
  try {
    closeSync(openTool(name, tools[name]));
    return true;
  } catch {
    return false;
  }
}

/** Of this process and host. */
export const hostTraits = (): HostTraits => ({
  architecture: process.arch,
  systemd: existsSync("/run/systemd/system"),
  tools: {
    ip: hasTool("ip"),
    firewall: hasTool("nft") || hasTool("iptables"),
  },
});

/** @throws BangerError `needs_root` with the same command under sudo */
export function checkRoot(uid: number, words: string): void {
  if (uid === 0) return;
  throw new BangerError("needs_root", `banger ${words} needs root`, { hint: `sudo banger ${words}` });
}

const packages = { ip: "iproute2", firewall: "nftables" } as const;

/** @throws BangerError `architecture_unsupported`, `systemd_missing`, `tool_missing` */
export function checkHost({ architecture, systemd, tools }: HostTraits): void {
  if (architecture !== "x64") {
    const message = `${architecture}: kernels and images are for x86_64 only`;
    throw new BangerError("architecture_unsupported", message, {
      hint: "use a machine with an x86_64 processor",
    });
  }
  if (!systemd) {
    throw new BangerError(
      "systemd_missing",
      "systemd does not run this host, and system mode is its services",
      {
        hint: "user mode needs no systemd: banger vm run",
      },
    );
  }
  for (const [name, there] of Object.entries(tools)) {
    if (there) continue;
    const what = name === "firewall" ? "neither nft nor iptables is" : `${name} is not`;
    throw new BangerError("tool_missing", `${what} installed`, {
      hint: `apt-get install ${packages[name as keyof typeof packages]}`,
    });
  }
}

/** The daemon as people see it. */
import type { DaemonView } from "../../contract/daemon.js";
import { formatBytes } from "../../lib/sizes.js";
import type { Style } from "./style.js";
import { details } from "./table.js";
import { ago } from "./units.js";

export function daemonDetails(daemon: DaemonView, nowMs: number, style: Style): string {
  const vms = Object.entries(daemon.vms).map(([phase, count]) => `${count} ${phase}`);
  return details(
    [
      ["pid", String(daemon.pid)],
      ["version", daemon.version],
      ["started", ago(daemon.startedAt, nowMs)],
      ["vmm", `${daemon.vmm} (${daemon.accelerator}${daemon.notKvm === null ? "" : `: ${daemon.notKvm}`})`],
      // A daemon of an older version does not tell.
      ...(daemon.network ? [["bridge", networkText(daemon.network, nowMs)] as const] : []),
      ["dns", daemon.dns ?? "none"],
      ["vms", vms.length === 0 ? "none" : vms.join(", ")],
      ["events", String(daemon.seq)],
      ["memory", formatBytes(daemon.rssBytes)],
      ["state", daemon.stateDir],
    ],
    style,
  );
}

function networkText({ phase, since, error }: NonNullable<DaemonView["network"]>, nowMs: number): string {
  const failure = error === null ? "" : `: ${error.effect} failed and will be retried: ${error.message}`;
  return `${phase} since ${ago(since, nowMs)}${failure}`;
}

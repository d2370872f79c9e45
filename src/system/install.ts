/** `banger system install` and `restart`: all of it, or nothing. */
import type { Metadata } from "../../helper/metadata.js";
import { startService } from "../client/start-daemon.js";
import { daemonUnit } from "../home/units.js";
import { BangerError } from "../lib/errors.js";
import { type SystemHost, systemctl } from "./host.js";
import type { Installation } from "./installation.js";
import {
  makeDirectories,
  restartAfterUndo,
  startUnits,
  writeMetadata,
  writeUdevRules,
  writeUnits,
} from "./steps.js";
import { carryOut, type Step } from "./transaction.js";

/** @throws BangerError `system_owned` */
export function checkOwner(previous: Metadata | undefined, owner: { uid: number }): void {
  if (previous === undefined || previous.owner.uid === owner.uid) return;
  throw new BangerError("system_owned", `system mode is installed here for ${previous.owner.name}`, {
    hint: "sudo banger system uninstall --purge, then install it for somebody else",
  });
}

/**
 * Brings the host to `next`, from nothing or from `previous`; doing it again changes nothing but that daemon and
 * helper start afresh.
 * @throws BangerError `system_foreign`, `systemd_failed`, `vms_running`, and what daemon and helper say; then
 *   everything is as before
 */
export async function install(
  host: SystemHost,
  next: Installation,
  previous: Metadata | undefined,
): Promise<void> {
  const moves = previous !== undefined && movesNetwork(previous, next.metadata);
  if (moves) await checkNoVmRuns(host);
  await carryOut(host, [
    restartAfterUndo(host, previous),
    makeDirectories(host, next),
    ...(moves ? [leaveNetwork(host)] : []),
    writeMetadata(host, next),
    writeUdevRules(host),
    writeUnits(host, next),
    startUnits(host, previous),
    bothAnswer(host, next),
  ]);
}

const movesNetwork = ({ network: before }: Metadata, { network: after }: Metadata): boolean =>
  before.bridge !== after.bridge ||
  before.address !== after.address ||
  before.prefixLength !== after.prefixLength;

async function checkNoVmRuns({ daemon }: SystemHost): Promise<void> {
  const vms = await daemon.call("vmList");
  const running = vms.filter(({ phase }) => phase !== "stopped" && phase !== "error");
  if (running.length === 0) return;
  const names = running.map(({ name }) => name);
  throw new BangerError("vms_running", `the network cannot change under VMs that run: ${names.join(", ")}`, {
    hint: `banger vm stop ${names.join(" ")}`,
  });
}

/** The old bridge goes while the helper still knows it; the daemon would make it again at once. */
const leaveNetwork = (host: SystemHost): Step => ({
  label: "old network",
  async run() {
    await systemctl(host, "stop", daemonUnit);
    await host.ask("ensureNoBridge", {});
  },
  async undo() {},
});

const bothAnswer = (host: SystemHost, { metadata: { home } }: Installation): Step => ({
  label: "daemon and helper",
  async run() {
    await host.ask("about", {});
    await startService({ home, env: host.env, owner: null });
  },
  async undo() {},
});

/** `banger system uninstall`: the host is as it was before, but for what the owner keeps. */
import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import type { Result } from "../../helper/contract.js";
import { builderSocketUnit, builderUnit, daemonUnit, helperSocketUnit, helperUnit } from "../home/units.js";
import { BangerError } from "../lib/errors.js";
import { type SystemHost, systemctl } from "./host.js";
import { removeTree } from "./steps.js";
import { udevRulesName } from "./udev.js";

const units = [daemonUnit, builderSocketUnit, builderUnit, helperSocketUnit, helperUnit];
const enabled = [daemonUnit, builderSocketUnit, helperSocketUnit];

export interface UninstallOptions {
  /** Also the VMs' disks, the log, images and cache. */
  purge: boolean;
  stopVms: () => Promise<void>;
}

/** Whether anything of an installation is there. */
export const isInstalled = ({ places }: Pick<SystemHost, "places">): boolean =>
  existsSync(places.metadata) || units.some((unit) => existsSync(`${places.units}/${unit}`));

/**
 * Every step can run again where one before was cut short.
 * @throws BangerError what systemd or the helper could not do; what is done by then stays done
 */
export async function uninstall(host: SystemHost, { purge, stopVms }: UninstallOptions): Promise<void> {
  const there = (names: readonly string[]) =>
    names.filter((unit) => existsSync(`${host.places.units}/${unit}`));
  await stopVms();
  if (there([daemonUnit]).length > 0) {
    await host.stage("daemon", async () => {
      await systemctl(host, "disable", "--now", daemonUnit);
      // A VMM that no daemon knows of any more; mostly there is none, and then systemctl has nobody to signal.
      await host.run("systemctl", ["kill", "--signal=SIGKILL", daemonUnit]);
    });
  }
  if (existsSync(host.places.metadata) && there([helperSocketUnit]).length > 0)
    await host.stage("devices and network", () => takeAway(host));
  await host.stage("units", async () => {
    const listening = there(enabled);
    if (listening.length > 0) await systemctl(host, "disable", "--now", ...listening);
    if (there([helperUnit]).length > 0) await systemctl(host, "stop", helperUnit);
    if (there([builderUnit]).length > 0) await systemctl(host, "stop", builderUnit.replace("@", "@*"));
    for (const unit of units) rmSync(`${host.places.units}/${unit}`, { force: true });
    await systemctl(host, "daemon-reload");
    await host.run("systemctl", ["reset-failed", ...units.filter((unit) => !unit.includes("@"))]);
  });
  await host.stage("files", () => removeFiles(host, purge));
}

/** Everything that the helper ever makes goes, also what no log knows of. */
async function takeAway({ ask }: SystemHost): Promise<void> {
  const seen = await ask("look", {});
  for (const vmId of idsOf(seen.jails, "jails")) await ask("ensureNoJail", { vmId });
  for (const vmId of idsOf(seen.nats, "NAT")) await ask("ensureNoNat", { vmId });
  const taps = [...idsOf(seen.taps, "taps"), ...idsOf(seen.strayTaps, "taps")];
  for (const vmId of new Set(taps)) await ask("ensureNoTap", { vmId });
  const devices = [...idsOf(seen.rootDevices, "devices"), ...idsOf(seen.strayDevices, "devices")];
  for (const vmId of new Set(devices)) await ask("ensureNoRootDevice", { vmId });
  await ask("ensureNoBridge", {});
}

/** Unknown is not absent: what cannot be seen is not left behind in silence. */
function idsOf(seen: Result<"look">["taps"], what: string): string[] {
  if ("ids" in seen) return seen.ids;
  throw new BangerError("helper_blind", `the helper cannot tell which ${what} there are: ${seen.unknown}`, {
    hint: "journalctl -u banger-helper; then: sudo banger system uninstall",
    retry: "later",
  });
}

async function removeFiles(host: SystemHost, purge: boolean): Promise<void> {
  const { base, metadata, jails, state, data, cache, runtime, helperRuntime, builderRuntime } = host.places;
  for (const path of [jails, runtime, helperRuntime, builderRuntime]) await removeTree(host, path);
  rmSync(`${host.places.udevRules}/${udevRulesName}`, { force: true });
  if (purge) for (const path of [state, data, cache]) await removeTree(host, path);
  // Last of all: until here a second try finds what is installed.
  rmSync(metadata, { force: true });
  if (existsSync(base) && readdirSync(base).length === 0) rmdirSync(base);
}

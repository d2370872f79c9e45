/** What `banger system status` tells: what is installed, whether it runs, and whether it is what this version writes. */
import { existsSync } from "node:fs";
import type { Metadata } from "../../helper/metadata.js";
import { errorBody } from "../lib/errors.js";
import type { SystemHost } from "./host.js";
import { readIfThere } from "./installation.js";
import { udevRules, udevRulesName } from "./udev.js";
import { type Programs, unitsOf } from "./units.js";

export interface UnitStatus {
  name: string;
  /** As systemctl has it: active, inactive, failed, …; a template is none of it. */
  active: string | null;
  /** Whether the file is what this version would write. */
  file: "current" | "differs" | "missing";
}

export interface SystemStatus {
  /** Of this program. */
  version: string;
  metadata: Metadata;
  units: UnitStatus[];
  daemon: { version: string; pid: number } | { problem: string };
  helper: { version: string; firecracker: string | null } | { problem: string };
  /** What is not as it should be, in sentences; empty when all is well. */
  problems: string[];
}

/** Looks; changes and starts nothing but the helper, which starts when it is asked. */
export async function systemStatus(
  host: SystemHost,
  metadata: Metadata,
  version: string,
  programs: Programs,
): Promise<SystemStatus> {
  const wanted = unitsOf(metadata, programs);
  const units: UnitStatus[] = [];
  for (const [name, content] of Object.entries(wanted)) {
    const found = readIfThere(`${host.places.units}/${name}`);
    const file = found === undefined ? "missing" : found === content ? "current" : "differs";
    const active = name.includes("@")
      ? null
      : (await host.run("systemctl", ["is-active", name])).stdout.trim();
    units.push({ name, active, file });
  }
  const daemon = await host.daemon.call("daemon").then(
    ({ version, pid }) => ({ version, pid }),
    (error: unknown) => ({ problem: errorBody(error).message }),
  );
  const helper = await host.ask("about", {}).then(
    ({ version, firecracker }) => ({ version, firecracker }),
    (error: unknown) => ({ problem: errorBody(error).message }),
  );
  const status = { version, metadata, units, daemon, helper };
  return { ...status, problems: [...problemsOf(status), ...udevProblems(host)] };
}

/** Without them udev reads what guests have written. */
function udevProblems({ places }: SystemHost): string[] {
  const path = `${places.udevRules}/${udevRulesName}`;
  if (!existsSync(places.udevRules) || readIfThere(path) === udevRules()) return [];
  return [`${path} is not what this version writes`];
}

/** Pure: the sentences, each of which `banger system restart` or the journal helps with. */
function problemsOf(status: Omit<SystemStatus, "problems">): string[] {
  const { version, metadata, units, daemon, helper } = status;
  const others = (what: string, found: string) =>
    found === version ? [] : [`${what} is version ${found}, this is ${version}`];
  return [
    ...units.flatMap(({ name, active, file }) => [
      ...(file === "current"
        ? []
        : [`${name} ${file === "missing" ? "is missing" : "is not what this version writes"}`]),
      // The helper's service starts when somebody connects.
      ...(active === null ||
      active === "active" ||
      (active === "inactive" && name === "banger-helper.service")
        ? []
        : [`${name} is ${active}`]),
    ]),
    ...("problem" in daemon ? [`the daemon: ${daemon.problem}`] : others("the daemon", daemon.version)),
    ...("problem" in helper ? [`the helper: ${helper.problem}`] : others("the helper", helper.version)),
    ...others("the installation", metadata.version),
  ];
}

/** The steps of an installation on the host's files and units, each with its way back. */
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { builderSocketUnit, daemonUnit, helperSocketUnit, helperUnit } from "../home/units.js";
import { publishContent } from "../host/publish.js";
import { BangerError } from "../lib/errors.js";
import { type SystemHost, systemctl } from "./host.js";
import { type Installation, metadataText, readIfThere } from "./installation.js";
import type { Step } from "./transaction.js";
import { udevRules, udevRulesName } from "./udev.js";

interface Directory {
  path: string;
  uid: number;
  gid: number;
  mode: number;
}

/** Those that stay when nothing runs; what lies in /run systemd makes. */
function directoriesOf({ places }: SystemHost, { owner }: Installation["metadata"]): Directory[] {
  const { base, jails, state, data, cache } = places;
  const roots = { uid: 0, gid: 0 };
  const { uid, gid } = owner;
  return [
    { path: base, ...roots, mode: 0o755 },
    // Whoever knows a jail's name can go to it: the daemon, which speaks to the sockets there.
    { path: jails, ...roots, mode: 0o711 },
    ...[state, data, cache].map((path) => ({ path, uid, gid, mode: 0o700 })),
  ];
}

/** Removes a tree that its owner may be changing: rm(1) never follows a symlink there, nor goes to another disk. */
export async function removeTree({ run }: Pick<SystemHost, "run">, path: string): Promise<void> {
  const { status, stderr } = await run("rm", ["-rf", "--one-file-system", "--", path]);
  if (status !== 0) throw new BangerError("host_failed", stderr.trim().split("\n").at(-1) ?? path);
}

/** @throws BangerError `system_foreign` for a directory that is there and belongs to somebody else */
export function makeDirectories(host: SystemHost, { metadata }: Installation): Step {
  const made: string[] = [];
  return {
    label: "directories",
    async run() {
      for (const { path, uid, gid, mode } of directoriesOf(host, metadata)) {
        if (mkdirSync(path, { recursive: true, mode: 0o700 }) !== undefined) {
          made.unshift(path);
          chownSync(path, uid, gid);
        }
        const found = lstatSync(path);
        if (!found.isDirectory() || found.uid !== uid) {
          throw new BangerError("system_foreign", `${path} belongs to uid ${found.uid}, not ${uid}`, {
            hint: `look at what it has: sudo ls -la ${path}; then move it away`,
          });
        }
        chmodSync(path, mode);
      }
    },
    async undo() {
      for (const path of made) await removeTree(host, path);
    },
  };
}

/** Writes root's files, and puts back what was there. */
function writeFiles(label: string, files: Readonly<Record<string, string>>): Required<Step> {
  const before = new Map<string, string | undefined>();
  return {
    label,
    async run() {
      for (const [path, content] of Object.entries(files)) {
        before.set(path, readIfThere(path));
        await publishContent(path, content, 0o644);
      }
    },
    async undo() {
      for (const [path, content] of before) {
        if (content === undefined) rmSync(path, { force: true });
        else await publishContent(path, content, 0o644);
      }
    },
  };
}

export const writeMetadata = ({ places }: SystemHost, { metadata }: Installation): Step =>
  writeFiles("metadata", { [places.metadata]: metadataText(metadata) });

/** Nothing on a host without udev. It sees new rules by itself; told of them it does not take its time. */
export function writeUdevRules({ places, run }: SystemHost): Step {
  const there = existsSync(places.udevRules);
  const files = writeFiles("udev", there ? { [`${places.udevRules}/${udevRulesName}`]: udevRules() } : {});
  return {
    ...files,
    async run() {
      await files.run();
      if (there) await run("udevadm", ["control", "--reload"]).catch(() => undefined);
    },
  };
}

/** Those that are enabled; systemd starts the rest when somebody connects. */
const enabled = [helperSocketUnit, builderSocketUnit, daemonUnit];

/** Also after the way back systemd reads what lies there then. */
export function writeUnits(host: SystemHost, { units }: Installation): Step {
  const entries = Object.entries(units).map(([name, content]) => [`${host.places.units}/${name}`, content]);
  const files = writeFiles("units", Object.fromEntries(entries) as Record<string, string>);
  return {
    label: files.label,
    async run() {
      await files.run();
      await systemctl(host, "daemon-reload");
    },
    async undo() {
      await files.undo();
      await systemctl(host, "daemon-reload");
    },
  };
}

/** Starts system mode, or restarts its daemon and helper; VMs keep running. */
export function startUnits(host: SystemHost, previous: Installation["metadata"] | undefined): Step {
  return {
    label: "services",
    async run() {
      await systemctl(host, "enable", ...enabled);
      await systemctl(host, "start", helperSocketUnit, builderSocketUnit);
      await systemctl(host, "try-restart", helperUnit);
      await systemctl(host, "restart", daemonUnit);
    },
    async undo() {
      if (previous !== undefined) return;
      await systemctl(host, "disable", "--now", ...enabled);
      await systemctl(host, "stop", helperUnit);
      const { runtime, helperRuntime, builderRuntime } = host.places;
      for (const path of [runtime, helperRuntime, builderRuntime]) await removeTree(host, path);
    },
  };
}

/** Once the files are again what they were, what ran before runs again. */
export function restartAfterUndo(host: SystemHost, previous: Installation["metadata"] | undefined): Step {
  return {
    label: "state of the services",
    async undo() {
      if (previous === undefined) return;
      await systemctl(host, "try-restart", helperUnit);
      await systemctl(host, "restart", daemonUnit);
    },
  };
}

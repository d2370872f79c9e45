/** A double that stands in for `dmsetup` and the device-mapper's files, and for nothing else: the loops are real. */
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { DeviceHost } from "../../helper/devices/mapper.js";
import type { RunTool } from "../../helper/tools.js";

export interface DmsetupDouble {
  run: RunTool;
  host: DeviceHost;
  /** What was asked of it, argv joined by blanks. */
  asked: string[];
  /** Tables by device name; "" is a device that was never given one. */
  tables: Map<string, string>;
  /** Names that somebody has open. */
  busy: Set<string>;
  /** Makes the next `create` do this instead. */
  onCreate: ((name: string, table: string) => void) | undefined;
  /** Whether `create` leaves a node in /dev. */
  makesNodes: boolean;
  /** Holds the loops as the device-mapper does: open, as long as the device is there. */
  addDevice(name: string, table: string): void;
  release(): void;
}

const major = 253;

export function dmsetupDouble(top: string): DmsetupDouble {
  const host: DeviceHost = { proc: `${top}/proc`, sys: `${top}/sys`, dev: `${top}/dev` };
  for (const path of [host.proc, `${host.sys}/dev/block`, `${host.dev}/mapper`])
    mkdirSync(path, { recursive: true });
  writeFileSync(`${host.proc}/misc`, "237 loop-control\n236 device-mapper\n");
  const held = new Map<string, { fds: number[]; minor: number }>();
  let minor = 0;
  const answer = (status: number, stdout = "", stderr = "") => ({ status, stdout, stderr });

  const double: DmsetupDouble = {
    host,
    asked: [],
    tables: new Map(),
    busy: new Set(),
    onCreate: undefined,
    makesNodes: true,
    addDevice(name, table) {
      const loops = [...table.matchAll(/ 7:(\d+)/g)].map(([, number]) => openSync(`/dev/loop${number}`, "r"));
      minor++;
      held.set(name, { fds: loops, minor });
      double.tables.set(name, table);
      if (!double.makesNodes) return;
      spawnSync("mknod", [`${host.dev}/mapper/${name}`, "b", String(major), String(minor)]);
      mkdirSync(`${host.sys}/dev/block/${major}:${minor}/dm`, { recursive: true });
      writeFileSync(`${host.sys}/dev/block/${major}:${minor}/dm/name`, `${name}\n`);
    },
    release() {
      for (const name of [...held.keys()]) remove(name);
    },
    run: async (tool, argv, options = {}) => {
      if (tool !== "dmsetup") throw new Error(`the double stands in for dmsetup, not for ${tool}`);
      double.asked.push(argv.join(" "));
      const result = perform(argv);
      if (!(options.goodStatus ?? [0]).includes(result.status)) throw new Error(result.stderr);
      return result;
    },
  };

  function perform([verb, ...argv]: readonly string[]) {
    if (verb === "table") {
      const lines = [...double.tables].map(([name, table]) => `${name}: ${table}\n`);
      return answer(0, lines.length === 0 ? "No devices found\n" : lines.join(""));
    }
    if (verb === "create") {
      const [name = "", , table = ""] = argv;
      if (double.tables.has(name)) return answer(1, "", "Device or resource busy");
      (double.onCreate ?? double.addDevice)(name, table);
      return answer(0);
    }
    const [, name = ""] = argv;
    if (double.busy.has(name))
      return answer(1, "", `remove ioctl on ${name} failed: Device or resource busy`);
    remove(name);
    return answer(0);
  }

  function remove(name: string): void {
    const { fds, minor: mine } = held.get(name) ?? { fds: [], minor: 0 };
    for (const fd of fds) closeSync(fd);
    held.delete(name);
    double.tables.delete(name);
    rmSync(`${host.dev}/mapper/${name}`, { force: true });
    rmSync(`${host.sys}/dev/block/${major}:${mine}`, { recursive: true, force: true });
  }
  return double;
}

/** Whether this kernel has loop devices to test with. */
export const needsLoops =
  (process.getuid?.() !== 0 && "needs root") ||
  (!/^\s*\d+ loop-control$/m.test(readFileSync("/proc/misc", "utf8")) && "needs loop devices");

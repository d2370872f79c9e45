/** The device-mapper, through `dmsetup`: which snapshots there are, making and removing one. */
import { chownSync, closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { parseDeviceName } from "../../src/home/handles.js";
import type { VmId } from "../../src/model/model.js";
import { pathOnly } from "../libc.js";
import type { Metadata } from "../metadata.js";
import { pathOf } from "../paths.js";
import { HostFailure } from "../refusal.js";
import type { RunTool } from "../tools.js";

/** Where the kernel shows itself; a test that stands in for the device-mapper has another. */
export interface DeviceHost {
  proc: string;
  sys: string;
  dev: string;
}
export const thisHost: DeviceHost = { proc: "/proc", sys: "/sys", dev: "/dev" };

export interface MappedDevice {
  /** What the kernel says of it, "" of one that was never given anything to map. */
  table: string;
  /** The numbers of the loop devices that it is a snapshot of and keeps its own in; undefined for anything else. */
  snapshot: { origin: number; cow: number } | undefined;
}

/** Sectors in what is copied at once: 4 KiB, a block of ext4. */
export const chunk = 8;
const loopMajor = 7;

/** A kernel whose device-mapper is not there, or not loaded yet, has no devices of it. */
const hasMapper = ({ proc }: DeviceHost): boolean =>
  /^\s*\d+ device-mapper$/m.test(readFileSync(`${proc}/misc`, "utf8"));

/** Those whose names are banger's. @throws HostFailure, Refusal of the runner */
export async function mappedDevices(run: RunTool, host: DeviceHost): Promise<Map<VmId, MappedDevice>> {
  const devices = new Map<VmId, MappedDevice>();
  if (!hasMapper(host)) return devices;
  const { stdout } = await run("dmsetup", ["table"]);
  for (const line of stdout.split("\n")) {
    const [name = "", ...rest] = line.split(":");
    const id = parseDeviceName(name);
    if (id !== undefined) devices.set(id, parseTable(rest.join(":").trim()));
  }
  return devices;
}

/** One line of `dmsetup table`, without the name: start, length and kind, and what the kind wants. */
export function parseTable(table: string): MappedDevice {
  const loops = /^0 \d+ snapshot (\d+):(\d+) (\d+):(\d+) P 8$/.exec(table);
  if (loops === null) return { table, snapshot: undefined };
  const [originMajor, origin, cowMajor, cow] = loops.slice(1).map(Number);
  const areLoops = originMajor === loopMajor && cowMajor === loopMajor;
  return { table, snapshot: areLoops ? { origin: origin ?? 0, cow: cow ?? 0 } : undefined };
}

/** What is not read from `cow` comes from `origin`; what is written goes there and stays (persistent). */
export async function createSnapshot(
  run: RunTool,
  name: string,
  { origin, cow, sectors }: { origin: number; cow: number; sectors: number },
): Promise<void> {
  const table = `0 ${sectors} snapshot ${loopMajor}:${origin} ${loopMajor}:${cow} P ${chunk}`;
  await run("dmsetup", ["create", name, "--table", table]);
}

/** udev and whatever else looks at new disks may have it open for a moment: `--retry` waits five seconds for them. */
export async function removeDevice(run: RunTool, name: string): Promise<void> {
  const { status, stderr } = await run("dmsetup", ["remove", "--retry", name], { goodStatus: [0, 1] });
  if (status === 0) return;
  if (/busy/i.test(stderr)) throw new HostFailure("device_busy", `${name} is in use`);
  throw new HostFailure("tool_failed", `dmsetup remove ${name}: ${stderr.trim().split("\n")[0]}`);
}

/**
 * A mere handle on the device's node in /dev, of which the kernel itself says that it is the device of that name: a
 * stale link could lead to one that got its number since.
 */
export function openNode(name: string, host: DeviceHost): number {
  const fd = openSync(`${host.dev}/mapper/${name}`, pathOnly);
  const found = fstatSync(fd, { bigint: true });
  if (found.isBlockDevice() && nameOf(found.rdev, host) === name) return fd;
  closeSync(fd);
  throw new HostFailure("device_node", `${host.dev}/mapper/${name} is not the device of that name`);
}

function nameOf(rdev: bigint, { sys }: DeviceHost): string | undefined {
  const major = (rdev >> 8n) & 0xfffn;
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xfff00n);
  try {
    return readFileSync(`${sys}/dev/block/${major}:${minor}/dm/name`, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Lets the owner open the device. udev, which comes back to it on each change, leaves the uid alone. */
export function giveNode(name: string, { uid, gid }: Metadata["owner"], host: DeviceHost): void {
  const fd = openNode(name, host);
  try {
    chownSync(pathOf(fd), uid, gid);
  } finally {
    closeSync(fd);
  }
}

/** Whether the owner has been given it. */
export function isGiven(name: string, { uid }: Metadata["owner"], host: DeviceHost): boolean {
  try {
    const fd = openNode(name, host);
    try {
      return fstatSync(fd).uid === uid;
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}

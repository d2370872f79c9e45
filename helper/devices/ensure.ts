/** Makes a VM's root device and takes it away: two loop devices and a snapshot over them, in that order and back. */
import { type BigIntStats, closeSync, constants } from "node:fs";
import { imageHandles, vmHandles } from "../../src/home/handles.js";
import type { ImageId, VmId } from "../../src/model/model.js";
import type { HelperContext } from "../method.js";
import { gateFile, openBelow } from "../paths.js";
import { HostFailure, Refusal } from "../refusal.js";
import { below } from "./below.js";
import { type AttachedLoop, attachLoop, boundLoops, clearLoop, type Loop } from "./loop.js";
import { createSnapshot, type DeviceHost, giveNode, removeDevice } from "./mapper.js";
import { type DeviceParts, deviceParts, loopsUnder } from "./seen.js";
import { gateStore } from "./store.js";

/** An open file, and what was judged of it. */
interface Judged {
  fd: number;
  path: string;
  found: BigIntStats;
}

const none: DeviceParts = { device: undefined, loops: [] };
const partsOf = async (id: VmId, context: HelperContext, host: DeviceHost): Promise<DeviceParts> =>
  (await deviceParts(context, host)).get(id) ?? none;

const stands = ({ found }: Judged, { device, inode }: Loop): boolean =>
  found.dev === device && found.ino === inode;

/**
 * The device is there, over this image, and the owner may open it.
 * @throws Refusal of paths.ts, `foreign-device`, `foreign-loop`, `other-image`, `store-header`; HostFailure
 */
export async function ensureDevice(
  id: VmId,
  imageId: ImageId,
  context: HelperContext,
  host: DeviceHost,
): Promise<void> {
  const { home, owner } = context.metadata;
  const { deviceName, rootCow } = vmHandles(home, id);
  const origin = judged(home.data, imageHandles(home, imageId).rootfs, constants.O_RDONLY, owner.uid);
  try {
    // A second name of this file could lie anywhere, and be somebody else's to trust.
    const cow = judged(home.state, rootCow, constants.O_RDWR, owner.uid, 1);
    try {
      if (await existing(id, origin, cow, context, host)) giveNode(deviceName, owner, host);
      else await make(id, origin, cow, context, host);
    } finally {
      closeSync(cow.fd);
    }
  } finally {
    closeSync(origin.fd);
  }
}

function judged(root: string, path: string, flags: number, uid: number, links?: number): Judged {
  const fd = openBelow(root, below(root, path), flags);
  try {
    const rule = links === undefined ? { uids: [uid] } : { uids: [uid], links };
    return { fd, path, found: gateFile(fd, path, rule) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Whether the device is there, over these files; what is left over or half-made is taken away. */
async function existing(
  id: VmId,
  origin: Judged,
  cow: Judged,
  context: HelperContext,
  host: DeviceHost,
): Promise<boolean> {
  const { deviceName } = vmHandles(context.metadata.home, id);
  const parts = await partsOf(id, context, host);
  const under = loopsUnder(parts);
  if (under !== undefined) {
    // What the VM wrote makes sense over the image that it began with, and over no other.
    if (!stands(origin, under.origin) || !stands(cow, under.cow))
      throw new Refusal("other-image", `${deviceName} uses other files than ${origin.path} and ${cow.path}`);
    await clearAll(parts.loops.filter((loop) => loop !== under.origin && loop !== under.cow));
    return true;
  }
  await takeApart(deviceName, parts, context);
  // Two devices that write to one file spoil it, and one that the helper did not make is not its to clear.
  const foreign = boundLoops().find((loop) => stands(cow, loop));
  if (foreign !== undefined)
    throw new Refusal("foreign-loop", `${cow.path} is already behind /dev/loop${foreign.number}`);
  return false;
}

/** Nothing of it stays when something goes wrong; what then cannot be undone either, the next look finds. */
async function make(
  id: VmId,
  origin: Judged,
  cow: Judged,
  context: HelperContext,
  host: DeviceHost,
): Promise<void> {
  const { deviceName } = vmHandles(context.metadata.home, id);
  try {
    gateStore(cow.fd, cow.path);
    await assemble(deviceName, origin, cow, context);
    giveNode(deviceName, context.metadata.owner, host);
  } catch (error) {
    await ensureNoDevice(id, context, host).catch(() => {});
    throw error;
  }
}

/** The loops are open until the snapshot holds them: whatever goes wrong before then, closing them takes them away. */
async function assemble(
  deviceName: string,
  origin: Judged,
  cow: Judged,
  { run }: HelperContext,
): Promise<void> {
  const attached: AttachedLoop[] = [];
  const attach = (file: Judged, access: "read" | "write"): AttachedLoop => {
    const loop = attachLoop(file.fd, deviceName, access);
    attached.push(loop);
    if (loop.sectors === 0) throw new HostFailure("disk_empty", `${file.path} is empty`, "never");
    return loop;
  };
  try {
    const lower = attach(origin, "read");
    const upper = attach(cow, "write");
    await createSnapshot(run, deviceName, {
      origin: lower.number,
      cow: upper.number,
      sectors: lower.sectors,
    });
  } finally {
    for (const { fd } of attached.reverse()) closeSync(fd);
  }
}

/** Nothing is left of it. @throws Refusal `foreign-device`; HostFailure `device_busy` when somebody has it open */
export async function ensureNoDevice(id: VmId, context: HelperContext, host: DeviceHost): Promise<void> {
  await takeApart(vmHandles(context.metadata.home, id).deviceName, await partsOf(id, context, host), context);
}

async function takeApart(deviceName: string, parts: DeviceParts, { run }: HelperContext): Promise<void> {
  const { device, loops } = parts;
  if (device !== undefined) {
    if (device.table !== "" && loopsUnder(parts) === undefined)
      throw new Refusal("foreign-device", `${deviceName} was not created by the helper: ${device.table}`);
    await removeDevice(run, deviceName);
  }
  await clearAll(loops);
}

async function clearAll(loops: readonly Loop[]): Promise<void> {
  for (const loop of loops) {
    if (!(await clearLoop(loop))) throw new HostFailure("device_busy", `/dev/loop${loop.number} is in use`);
  }
}

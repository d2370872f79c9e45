/** What there is of the VMs' root devices: found through the kernel alone, whatever became of who made it. */
import { parseDeviceName, vmHandles } from "../../src/home/handles.js";
import type { VmId } from "../../src/model/model.js";
import type { HelperContext } from "../method.js";
import { boundLoops, type Loop } from "./loop.js";
import { type DeviceHost, isGiven, type MappedDevice, mappedDevices } from "./mapper.js";

export interface DeviceParts {
  device: MappedDevice | undefined;
  /** Only root can label a loop device, and only the helper labels one so. */
  loops: Loop[];
}

/** Of every VM of which there is anything. @throws what `dmsetup` or the kernel fail with */
export async function deviceParts(
  { run }: Pick<HelperContext, "run">,
  host: DeviceHost,
): Promise<Map<VmId, DeviceParts>> {
  const parts = new Map<VmId, DeviceParts>();
  for (const [id, device] of await mappedDevices(run, host)) parts.set(id, { device, loops: [] });
  for (const loop of boundLoops()) {
    const id = parseDeviceName(loop.label);
    if (id === undefined) continue;
    const found = parts.get(id) ?? { device: undefined, loops: [] };
    parts.set(id, { ...found, loops: [...found.loops, loop] });
  }
  return parts;
}

/** The loops under the device, when both are the helper's own. */
export function loopsUnder({ device, loops }: DeviceParts): { origin: Loop; cow: Loop } | undefined {
  const origin = loops.find(({ number }) => number === device?.snapshot?.origin);
  const cow = loops.find(({ number }) => number === device?.snapshot?.cow);
  return origin?.readOnly && cow !== undefined && !cow.readOnly ? { origin, cow } : undefined;
}

/** A root device that nothing is missing of, and nothing is left over beside. */
export const isWhole = (
  id: VmId,
  parts: DeviceParts,
  { home, owner }: HelperContext["metadata"],
  host: DeviceHost,
): boolean =>
  loopsUnder(parts) !== undefined &&
  parts.loops.length === 2 &&
  isGiven(vmHandles(home, id).deviceName, owner, host);

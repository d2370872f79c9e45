/** What a look finds of devices and jails: by their names in the kernel and in the file system alone. */
import { closeSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { parseGuestName, vmHandles } from "../src/home/handles.js";
import type { Result } from "./contract.js";
import { type DeviceHost, thisHost } from "./devices/mapper.js";
import { deviceParts, isWhole } from "./devices/seen.js";
import { openPlace } from "./jail/place.js";
import type { HelperContext } from "./method.js";
import { pathOf } from "./paths.js";

type Look = Pick<Result<"look">, "rootDevices" | "strayDevices" | "jails">;

/** Never throws: what cannot be seen is unknown, and says why. */
export async function lookAtDevices(context: HelperContext, host: DeviceHost = thisHost): Promise<Look> {
  return { ...(await devices(context, host)), jails: jails(context) };
}

async function devices(context: HelperContext, host: DeviceHost): Promise<Omit<Look, "jails">> {
  try {
    const rootDevices: string[] = [];
    const strayDevices: string[] = [];
    for (const [id, parts] of await deviceParts(context, host)) {
      (isWhole(id, parts, context.metadata, host) ? rootDevices : strayDevices).push(id);
    }
    return { rootDevices: { ids: rootDevices.sort() }, strayDevices: { ids: strayDevices.sort() } };
  } catch (error) {
    const unknown = (error as Error).message;
    return { rootDevices: { unknown }, strayDevices: { unknown } };
  }
}

/** A VM's jail and control group are there as long as its directory is. */
function jails({ metadata: { home } }: HelperContext): Look["jails"] {
  try {
    const place = openPlace(dirname(vmHandles(home, "00000000").jail));
    try {
      const ids = readdirSync(pathOf(place)).flatMap((name) => parseGuestName(name) ?? []);
      return { ids: ids.sort() };
    } finally {
      closeSync(place);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { ids: [] };
    return { unknown: (error as Error).message };
  }
}

/** A home with one VM and one image in it, and all that the helper's device methods want, for a test. */
import { randomBytes } from "node:crypto";
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { boundLoops, clearLoop } from "../../helper/devices/loop.js";
import type { HelperContext } from "../../helper/method.js";
import { type Home, imageHandles, vmHandles } from "../../src/home/handles.js";
import { type DmsetupDouble, dmsetupDouble } from "./dmsetup-double.js";
import { trustedPlace } from "./trusted-place.js";

export const owner = { uid: 4242, gid: 4243, name: "owner" };

export const imageId = "debian-12ab34cd";

const homeAt = (top: string): Home => ({
  state: `${top}/state`,
  data: `${top}/data`,
  cache: `${top}/cache`,
  config: `${top}/config`,
  runtime: `${top}/runtime`,
});

export const contextFor = (top: string): HelperContext => ({
  metadata: {
    version: "0.0.0",
    owner,
    home: homeAt(top),
    network: { bridge: "br-fc", address: "172.16.0.1", prefixLength: 24 },
    firecracker: null,
    jailer: null,
  },
  run: async (tool) => {
    throw new Error(`${tool} was not to be run`);
  },
  signal: new AbortController().signal,
});

/** As the owner would make it. */
export function ownFile(path: string, content: string | Buffer): void {
  writeFileSync(path, content);
  chownSync(path, owner.uid, owner.gid);
}

export interface DevicePlace {
  top: string;
  context: HelperContext;
  double: DmsetupDouble;
  /** Another in each test: loop devices are the whole host's. */
  vmId: string;
  deviceName: string;
  cow: string;
  rootfs: string;
  /** The loop devices of this VM. */
  loops(): ReturnType<typeof boundLoops>;
}

export function devicePlace(t: { after: (done: () => unknown) => void }, rootfsBytes = 65_536): DevicePlace {
  const top = trustedPlace(t);
  const double = dmsetupDouble(`${top}/double`);
  const context = { ...contextFor(top), run: double.run };
  const vmId = randomBytes(4).toString("hex");
  const { directory, rootCow, deviceName } = vmHandles(context.metadata.home, vmId);
  const image = imageHandles(context.metadata.home, imageId);
  for (const path of [directory, image.directory]) mkdirSync(path, { recursive: true });
  ownFile(rootCow, Buffer.alloc(65_536));
  ownFile(image.rootfs, Buffer.alloc(rootfsBytes, "image"));
  const loops = () => boundLoops().filter(({ label }) => label === deviceName);
  t.after(async () => {
    double.release();
    for (const loop of loops()) await clearLoop(loop);
  });
  return { top, context, double, vmId, deviceName, cow: rootCow, rootfs: image.rootfs, loops };
}

/** Pure: which modules a guest needs before it has a root disk, in loading order. */
import { BangerError } from "../../lib/errors.js";

/** A module by name; one with a `device` is only of use where there is a virtio device of that number. */
export interface WantedModule {
  name: string;
  device?: number;
  /** A kernel that lacks it still serves: under QEMU nothing depends on it. */
  optional?: true;
}

/**
 * In the order in which the guest should load them; what a kernel has built in is skipped. Numbers of devices are those of
 * the virtio specification, 5. The devices of Firecracker are not there under QEMU, whose guests boot faster without.
 */
export const bootModules: readonly WantedModule[] = [
  { name: "virtio_mmio" },
  { name: "virtio_blk" },
  { name: "virtio_console" },
  { name: "virtio_net" },
  { name: "vmw_vsock_virtio_transport", device: 19, optional: true },
  { name: "virtio_rng", device: 4, optional: true },
  { name: "virtio_balloon", device: 5, optional: true },
];

/** A module's file in the tree of modules; `device` as in `WantedModule`. */
export interface BootModule {
  path: string;
  device?: number;
}

/** `virtio-rng.ko.xz` and `virtio_rng` are the same module. */
export const moduleName = (path: string): string =>
  (path.split("/").at(-1) ?? "").replace(/\.ko(\.\w+)?$/, "").replaceAll("-", "_");

/** Each module's path to the paths that it needs, as modules.dep lists them: nearest need first. */
function parseModulesDep(text: string): Map<string, string[]> {
  const needs = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [path, rest] = line.split(":", 2);
    if (path !== undefined && rest !== undefined) needs.set(path, rest.split(" ").filter(Boolean));
  }
  return needs;
}

/**
 * The modules to load, needs before those that need them.
 * @throws BangerError `kernel_unusable` when the kernel has a wanted module neither as a file nor built in.
 */
export function loadOrder(
  modulesDep: string,
  builtin: string,
  wanted: readonly WantedModule[],
): BootModule[] {
  const needs = parseModulesDep(modulesDep);
  const byName = new Map([...needs.keys()].map((path) => [moduleName(path), path]));
  const inKernel = new Set(builtin.split("\n").map(moduleName));
  const order = new Map<string, number | undefined>();
  for (const { name, device, optional } of wanted) {
    const path = byName.get(name);
    if (path === undefined) {
      if (inKernel.has(name) || optional) continue;
      throw new BangerError("kernel_unusable", `the kernel of the image has no ${name}`);
    }
    for (const need of [...[...(needs.get(path) ?? [])].reverse(), path]) {
      // What two devices need is not bound to one of them.
      if (!order.has(need)) order.set(need, device);
      else if (order.get(need) !== device) order.set(need, undefined);
    }
  }
  return [...order].map(([path, device]) => ({ path, ...(device === undefined ? {} : { device }) }));
}

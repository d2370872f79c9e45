/** Pure: which modules a guest needs before it has a root disk, in loading order. */
import { BangerError } from "../errors.js";

/** Modules by name in the order in which the guest should load them; what a kernel has built in is skipped. */
export const bootModules = ["virtio_mmio", "virtio_blk", "virtio_console", "virtio_net"] as const;

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
 * Paths of the modules to load, needs before those that need them.
 * @throws BangerError `kernel_unusable` when the kernel has a wanted module neither as a file nor built in.
 */
export function loadOrder(modulesDep: string, builtin: string, wanted: readonly string[]): string[] {
  const needs = parseModulesDep(modulesDep);
  const byName = new Map([...needs.keys()].map((path) => [moduleName(path), path]));
  const inKernel = new Set(builtin.split("\n").map(moduleName));
  const order = new Set<string>();
  for (const name of wanted) {
    const path = byName.get(name);
    if (path === undefined) {
      if (inKernel.has(name)) continue;
      throw new BangerError("kernel_unusable", `the kernel of the image has no ${name}`);
    }
    for (const need of [...(needs.get(path) ?? [])].reverse()) order.add(need);
    order.add(path);
  }
  return [...order];
}

/** Pure: which modules a guest needs before it has a root disk, in loading order, and trimmed for a fast load. */
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

const signatureMagic = Buffer.from("~Module signature appended~\n");
/** struct module_signature: its last four bytes are the big-endian length of the signature. */
const signatureInfoBytes = 12;

/** The module without its signature: checking one takes an emulated guest a good part of a second. */
function withoutSignature(module: Buffer): Buffer {
  const end = module.length - signatureMagic.length;
  if (end < signatureInfoBytes || !module.subarray(end).equals(signatureMagic)) return module;
  const start = end - signatureInfoBytes - module.readUInt32BE(end - 4);
  return start > 0 ? module.subarray(0, start) : module;
}

/** Hides the type information: for the first module that has it the kernel checks all of its own, 4 MB. */
function withoutTypeInformation(module: Buffer): Buffer {
  const trimmed = Buffer.from(module);
  const headers = Number(trimmed.readBigUInt64LE(0x28));
  const headerSize = trimmed.readUInt16LE(0x3a);
  const count = trimmed.readUInt16LE(0x3c);
  const header = (index: number) => headers + index * headerSize;
  const names = Number(trimmed.readBigUInt64LE(header(trimmed.readUInt16LE(0x3e)) + 0x18));
  for (let index = 0; index < count; index++) {
    const name = names + trimmed.readUInt32LE(header(index));
    if (trimmed.toString("latin1", name, name + 5) === ".BTF\0") trimmed.writeUInt32LE(0, header(index));
  }
  return trimmed;
}

/** The ELF file of a module as the guest's first root carries it. */
export function trimModule(module: Buffer): Buffer {
  if (module.toString("latin1", 0, 4) !== "\x7fELF")
    throw new BangerError("kernel_unusable", "a module is no ELF file");
  return withoutTypeInformation(withoutSignature(module));
}

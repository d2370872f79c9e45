/** Which Firecracker and jailer system mode is installed with. */
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Config } from "../config/form.js";
import { firecrackerVersion } from "../effects/vmm/firecracker/version.js";
import { BangerError, errorBody } from "../lib/errors.js";
import type { SystemHost } from "./host.js";
import { checkProgram } from "./programs.js";

export interface VmmPrograms {
  firecracker: string | null;
  jailer: string | null;
}

const usualPlaces = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];

/** The real path of a program by its name or path; undefined where there is none. */
function locate(program: string, searchPath: string): string | undefined {
  const places = [...searchPath.split(delimiter).filter((place) => place.startsWith("/")), ...usualPlaces];
  const candidates = program.startsWith("/") ? [program] : places.map((place) => join(place, program));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return realpathSync(path);
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** @throws BangerError `firecracker_missing`, `program_untrusted`, `firecracker_unusable` */
async function usable(
  { run }: SystemHost,
  program: string,
  searchPath: string,
  trust: (path: string) => void,
): Promise<string> {
  const path = locate(program, searchPath);
  const install = "put a current Firecracker and its jailer into /usr/local/bin, owned by root";
  if (path === undefined) {
    throw new BangerError("firecracker_missing", `${program} is not installed`, { hint: install });
  }
  trust(path);
  const version = firecrackerVersion((await run(path, ["--version"])).stdout);
  if ("version" in version) return path;
  throw new BangerError("firecracker_unusable", `${path}: ${version.problem}`, { hint: install });
}

/**
 * What the configuration asks for. With `vmm = "auto"` a host without them has QEMU, and is told why.
 * @throws BangerError of `usable` where the configuration wants Firecracker
 */
export async function vmmPrograms(
  host: SystemHost,
  config: Pick<Config, "vmm" | "firecrackerBin" | "jailerBin">,
  searchPath: string,
  trust: (path: string) => void = checkProgram,
): Promise<VmmPrograms> {
  const none = { firecracker: null, jailer: null };
  if (config.vmm === "qemu") return none;
  try {
    const firecracker = await usable(host, config.firecrackerBin, searchPath, trust);
    return { firecracker, jailer: await usable(host, config.jailerBin, searchPath, trust) };
  } catch (error) {
    if (config.vmm === "firecracker") throw error;
    host.note(`VMs will run in QEMU: ${errorBody(error).message}`);
    return none;
  }
}

/** What is installed: the metadata as it lies on the host, and what it would be by this version and configuration. */
import { readFileSync } from "node:fs";
import { type Metadata, parseMetadata } from "../../helper/metadata.js";
import type { Config } from "../config/form.js";
import type { Home } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";
import type { Owner } from "./owner.js";
import type { Programs } from "./units.js";
import { unitsOf } from "./units.js";
import type { VmmPrograms } from "./vmm-programs.js";

export interface Installation {
  metadata: Metadata;
  /** Every unit by its file name. */
  units: Record<string, string>;
}

export interface InstallRequest {
  version: string;
  owner: Owner;
  home: Home;
  config: Pick<Config, "network">;
  programs: Programs;
  vmm: VmmPrograms;
}

/** What this version writes down for this owner. Pure. */
export function installationOf({
  version,
  owner,
  home,
  config,
  programs,
  vmm,
}: InstallRequest): Installation {
  const { uid, gid, name } = owner;
  const { bridge, address, prefixLength } = config.network;
  const metadata: Metadata = {
    version,
    owner: { uid, gid, name },
    home,
    network: { bridge, address, prefixLength },
    ...vmm,
  };
  return { metadata, units: unitsOf(metadata, programs) };
}

export const metadataText = (metadata: Metadata): string => `${JSON.stringify(metadata, null, 2)}\n`;

/**
 * What is installed, as the helper would read it; undefined where nothing is.
 * @throws BangerError `system_damaged`
 */
export function readInstalled(path: string): Metadata | undefined {
  const text = readIfThere(path);
  try {
    return text === undefined ? undefined : parseMetadata(text);
  } catch (cause) {
    throw new BangerError("system_damaged", `${path}: ${(cause as Error).message}`, {
      hint: `sudo rm ${path}; sudo banger system install`,
      cause,
    });
  }
}

/** A file's text; undefined where there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

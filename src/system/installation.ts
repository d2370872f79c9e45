/** What is installed: the metadata as it lies on the host, and what it would be by this version and configuration. */
import { readFileSync } from "node:fs";
import type { Metadata } from "../../helper/metadata.js";
import type { Config } from "../config.js";
import { BangerError } from "../errors.js";
import { systemHome } from "../handles.js";
import type { Owner } from "./owner.js";
import type { Programs } from "./units.js";
import { unitsOf } from "./units.js";
import type { VmmPrograms } from "./vmm-programs.js";

export interface Installation {
  metadata: Metadata;
  /** Every unit by its file name. */
  units: Record<string, string>;
}

export interface Wanted {
  version: string;
  owner: Owner;
  config: Pick<Config, "network">;
  programs: Programs;
  vmm: VmmPrograms;
}

/** What this version writes down for this owner. Pure. */
export function installationOf({ version, owner, config, programs, vmm }: Wanted): Installation {
  const { uid, gid, name, directory } = owner;
  const { bridge, address, prefixLength } = config.network;
  const metadata: Metadata = {
    version,
    owner: { uid, gid, name },
    home: systemHome(`${directory}/.config/banger`),
    network: { bridge, address, prefixLength },
    ...vmm,
  };
  return { metadata, units: unitsOf(metadata, programs) };
}

export const metadataText = (metadata: Metadata): string => `${JSON.stringify(metadata, null, 2)}\n`;

/**
 * The metadata at `path`; undefined where there is none. The helper checks every value of it; this is for what is
 * told and compared.
 * @throws BangerError `system_damaged`
 */
export function readMetadata(path: string): Metadata | undefined {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  try {
    const metadata = JSON.parse(text) as Metadata;
    if (Number.isInteger(metadata.owner.uid) && typeof metadata.network.bridge === "string") return metadata;
  } catch {
    // Told below.
  }
  throw new BangerError("system_damaged", `${path} is not what banger system install writes`, {
    hint: `sudo rm ${path}; sudo banger system install`,
  });
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

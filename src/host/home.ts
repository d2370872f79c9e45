/** Where one banger lives: its mode, its directories and its loopback block. */
import { lstatSync, readFileSync, realpathSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import { type Home, homeHandles, systemHandles } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** `user`: the CLI starts the daemon of a user; `system`: systemd runs it, and a root helper beside it. */
export type Mode = "user" | "system";

export type Place = { mode: "user"; home: Home } | { mode: "system"; home: Home; installed: Installed };

/** What the CLI and the daemon need to know of an installation of system mode; see helper/metadata.ts. */
export interface Installed {
  owner: { uid: number };
  home: Home;
  /** The bridge's own address in the network of its guests. */
  network: { address: string; prefixLength: number };
  /** Null where the host had none at installation. */
  firecracker: string | null;
}

/**
 * Where this user's banger lives. The owner of system mode is served by it; `BANGER_MODE=user` leads to the home that
 * the owner has beside it, and `BANGER_MODE=system` lets root in.
 * @throws BangerError `mode_unknown`, `system_not_installed`, `system_damaged`, `home_unknown`
 */
export function placeFrom(env: Environment, uid: number, metadata = systemHandles().metadata): Place {
  const wanted = env["BANGER_MODE"] || undefined;
  if (wanted !== undefined && wanted !== "user" && wanted !== "system") {
    const hint = "unset BANGER_MODE, or BANGER_MODE=user, or BANGER_MODE=system";
    throw new BangerError("mode_unknown", `BANGER_MODE is "${wanted}"`, { hint });
  }
  const installed = wanted === "user" ? undefined : readInstalled(metadata);
  if (wanted === "system" && installed === undefined) {
    throw new BangerError("system_not_installed", "system mode is not installed on this host", {
      hint: "sudo banger system install",
    });
  }
  if (installed !== undefined && (wanted === "system" || installed.owner.uid === uid))
    return { mode: "system", home: installed.home, installed };
  return { mode: "user", home: canonicalHome(homeFrom(env)) };
}

/** Every command looks here first, and mostly finds nothing. */
function readInstalled(path: string): Installed | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  try {
    const { owner, home, network, firecracker } = JSON.parse(text) as Installed;
    const { address, prefixLength } = network;
    if (Number.isInteger(owner.uid) && typeof home.state === "string" && address && prefixLength)
      return { owner, home, network, firecracker };
  } catch {
    // What root alone can write is damaged: told below.
  }
  throw new BangerError("system_damaged", `${path} was not written by banger system install`, {
    hint: "sudo BANGER_MODE=user banger system install",
  });
}

/**
 * Eight bytes that tell homes apart: 64-bit FNV-1a (draft-eastlake-fnv), which guards nothing. Every command needs it,
 * and loading node:crypto for a better one would make each of them a tenth slower.
 */
function hashOf(text: string): Buffer {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(hash);
  return bytes;
}

/**
 * The home of user mode in this environment. As the XDG base directory specification says, relative and empty values
 * count as unset. Sockets lie in the state directory, however deep that is (socket-place.ts), and not in
 * XDG_RUNTIME_DIR: that one goes at logout and differs between a login, cron and sudo, while VMs run on.
 * @throws BangerError `home_unknown`
 */
export function homeFrom(env: Environment): Home {
  const absolute = (name: string): string | undefined => {
    const value = env[name];
    return value !== undefined && isAbsolute(value) ? value.replace(/(?<=.)\/+$/, "") : undefined;
  };
  const place = (name: string, belowHome: string): string => {
    const base = absolute(name) ?? (absolute("HOME") && `${absolute("HOME")}/${belowHome}`);
    if (base === undefined) {
      throw new BangerError("home_unknown", "neither HOME nor the XDG variables name a directory", {
        hint: "export HOME=/home/you",
      });
    }
    return `${base}/banger`;
  };
  const state = place("XDG_STATE_HOME", ".local/state");
  return {
    state,
    data: place("XDG_DATA_HOME", ".local/share"),
    cache: place("XDG_CACHE_HOME", ".cache"),
    config: place("XDG_CONFIG_HOME", ".config"),
    runtime: `${state}/run`,
  };
}

/**
 * The same directories by the one path that no link is part of: what is written down (overlays, ssh's configuration)
 * stays true when the link goes, and no two spellings make two homes.
 */
function canonicalHome({ state, data, cache, config }: Home): Home {
  const real = canonicalPath(state);
  return {
    state: real,
    data: canonicalPath(data),
    cache: canonicalPath(cache),
    config: canonicalPath(config),
    runtime: `${real}/run`,
  };
}

/** What is not there yet will be made below what is. A path that cannot be followed is told by whoever opens it. */
function canonicalPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    const parent = dirname(path);
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT" && !isLink(path);
    return missing && parent !== path ? join(canonicalPath(parent), basename(path)) : path;
  }
}

const isLink = (path: string): boolean =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;

/** A path of the configuration as one of the host: `~/` stands for the user's home directory. */
export const expandHome = (path: string, userHome: string): string =>
  path.startsWith("~/") ? `${userHome}${path.slice(1)}` : path;

/** The private key that opens VMs: the configured one, else the one that banger makes. */
export const sshKeyOf = (home: Home, configured: string | null, userHome: string): string =>
  configured === null ? homeHandles(home).sshKey : expandHome(configured, userHome);

/** Second octet (1…254) of the home's loopback addresses; 127.0 is left to everybody else. */
export const addressBlock = (home: Home): number => 1 + (hashOf(home.state).readUInt32BE(4) % 254);

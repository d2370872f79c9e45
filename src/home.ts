/** Where one banger lives: its mode, its directories and its loopback block. */
import { readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { BangerError } from "./errors.js";
import { type Home, homeHandles, systemHandles, vmHandles } from "./handles.js";

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
  return { mode: "user", home: homeFrom(env, uid) };
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
  throw new BangerError("system_damaged", `${path} is not what banger system install writes`, {
    hint: "sudo BANGER_MODE=user banger system install",
  });
}

/** `sun_path` has 108 bytes, of which the last is a NUL (unix(7)). */
const longestSocketPath = 107;

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
 * count as unset. Sockets lie in the state directory, or in /tmp where that is too deep for them, and not in
 * XDG_RUNTIME_DIR: that one goes at logout and differs between a login, cron and sudo, while VMs run on.
 * @throws BangerError `home_unknown`
 */
export function homeFrom(env: Environment, uid: number): Home {
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
  const home: Home = {
    state,
    data: place("XDG_DATA_HOME", ".local/share"),
    cache: place("XDG_CACHE_HOME", ".cache"),
    config: place("XDG_CONFIG_HOME", ".config"),
    runtime: `${state}/run`,
  };
  if (socketsFit(home)) return home;
  return { ...home, runtime: `/tmp/banger-${uid}-${hashOf(state).toString("hex").slice(0, 8)}` };
}

/** A path of the configuration as one of the host: `~/` stands for the user's home directory. */
export const expandHome = (path: string, userHome: string): string =>
  path.startsWith("~/") ? `${userHome}${path.slice(1)}` : path;

/** The private key that opens VMs: the configured one, else the one that banger makes. */
export const sshKeyOf = (home: Home, configured: string | null, userHome: string): string =>
  configured === null ? homeHandles(home).sshKey : expandHome(configured, userHome);

function socketsFit(home: Home): boolean {
  const { qmpSocket, agentSocket } = vmHandles(home, "00000000");
  return [qmpSocket, agentSocket, homeHandles(home).apiSocket].every(
    (path) => Buffer.byteLength(path) <= longestSocketPath,
  );
}

/** Second octet (1…254) of the home's loopback addresses; 127.0 is left to everybody else. */
export const addressBlock = (home: Home): number => 1 + (hashOf(home.state).readUInt32BE(4) % 254);

/** Reads from this host what `banger doctor` judges. Starts no daemon and changes nothing. */
import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Client } from "../client/client.js";
import { loadConfig } from "../config/config.js";
import { defaultsOf } from "../config/defaults.js";
import type { Config } from "../config/form.js";
import type { DaemonView } from "../contract/daemon.js";
import {
  type Home,
  homeHandles,
  imageHandles,
  parseImageDirectory,
  systemHandles,
  userSshConfig,
} from "../home/handles.js";
import { isIncluded } from "../home/ssh-config.js";
import { findProgram } from "../host/find-program.js";
import type { Mode, Place } from "../host/home.js";
import { kvmState } from "../host/kvm.js";
import { launcherProgram } from "../host/launcher.js";
import { systemClock } from "../lib/clock.js";
import { deadline } from "../lib/deadline.js";
import { BangerError } from "../lib/errors.js";
import { oddAttributes } from "./attributes.js";
import { type Fact, factOf } from "./check.js";
import { type HostFacts, toolPackages } from "./doctor.js";
import type { SystemFacts } from "./system.js";

const toolDeadlineMs = 5_000;
const helperDeadlineMs = 30_000;

/** Everything that doctor wants to know. `searchPath` is PATH's value. */
export async function readHost(
  { mode, home }: Pick<Place, "mode" | "home">,
  client: Client,
  searchPath: string,
  version: string,
): Promise<HostFacts> {
  const config = await factOf(() => loadConfig(homeHandles(home).configFile));
  const daemon = await factOf(() => daemonOf(client));
  const program = "ok" in config ? config.ok.qemuBin : "qemu-system-x86_64";
  const paths = { yours: searchPath, daemons: "ok" in daemon ? daemon.ok?.searchPath : undefined };
  const tools = await Promise.all(
    Object.keys(toolPackages).map(async (name) => {
      // The CLI starts it, and the daemon all others.
      const places = name === "ssh" ? { yours: searchPath } : paths;
      return [name, await factOf(() => programAt(name, places))];
    }),
  );
  return {
    architecture: process.arch,
    kvm: await kvmOf(daemon, config),
    qemu: { program, version: await factOf(() => qemuVersion(program, paths)) },
    process: {
      landlock: await factOf(landlockVersion),
      root: mode === "user" && process.getuid?.() === 0,
      inherited: await factOf(() =>
        "ok" in daemon && daemon.ok !== null ? oddAttributes(`/proc/${daemon.ok.pid}`) : [],
      ),
    },
    system: await systemOf(mode, config, version),
    tools: Object.fromEntries(tools) as HostFacts["tools"],
    places: [home.state, home.data, home.cache, home.runtime].map((path) => ({
      path,
      problem: problemOf(path),
    })),
    freeBytes: await factOf(() => leastRoom([home.data, home.state])),
    image: "ok" in config ? await factOf(() => imageOf(home, config.ok.defaultImage)) : config,
    defaults: "ok" in config ? { ok: defaultsOf(config.ok) } : config,
    daemon,
    unknownVms: await factOf(async () => {
      if (!("ok" in daemon) || daemon.ok === null) return [];
      return client.call("unknownVmList", { timeoutMs: toolDeadlineMs });
    }),
    dnsListen: "ok" in config ? { ok: written(config.ok.dnsListen) } : config,
    ssh: await factOf(() => sshOf(home)),
    log: await factOf(() => logOf(home, "ok" in daemon && daemon.ok !== null)),
  };
}

/** A daemon that runs says what counts: its groups are those of the moment in which it was started. */
async function kvmOf(daemon: Fact<DaemonView | null>, config: Fact<Config>): Promise<HostFacts["kvm"]> {
  if ("ok" in config && config.ok.accelerator === "tcg")
    return {
      usable: false,
      why: 'accelerator = "tcg" is configured',
      hint: 'accelerator = "auto" in config.toml',
    };
  const mine = await kvmState();
  if (!("ok" in daemon) || daemon.ok === null) return mine;
  const { accelerator, notKvm } = daemon.ok;
  if (accelerator === "kvm") return { usable: true };
  if (!mine.usable || notKvm === null) return mine;
  return {
    usable: false,
    why: `you can use it, but the running daemon cannot: ${notKvm}`,
    hint: "banger daemon stop",
  };
}

/** As the launcher sees it. */
async function landlockVersion(): Promise<number> {
  const { stdout } = await promisify(execFile)(launcherProgram, ["landlock"], { timeout: toolDeadlineMs });
  return Number(stdout);
}

const neededDevices = ["/dev/net/tun", "/dev/kvm", "/dev/loop-control"];

async function systemOf(mode: Mode, config: Fact<Config>, version: string): Promise<SystemFacts> {
  const vmm = "ok" in config ? config.ok.vmm : null;
  if (mode === "user") return { vmm, installed: null };
  const missingDevices = neededDevices.filter((path) => !existsSync(path));
  const { helperClient } = await import("../effects/helper/client.js");
  const helper = helperClient(systemHandles().helperSocket);
  const late = () => new BangerError("helper_silent", "the root helper does not answer");
  const bound = deadline(systemClock, helperDeadlineMs, late);
  const asked = await factOf(async () => ({
    about: await helper.call("about", {}, bound.signal),
    look: await helper.call("look", {}, bound.signal),
  }));
  bound.release();
  helper.close();
  return { vmm, installed: { version, helper: asked, missingDevices } };
}

const written = (listen: Config["dnsListen"]): string =>
  listen === "off" ? listen : `${listen.host}:${listen.port}`;

/** Where programs are looked up: in the caller's PATH, and in that of the daemon, where one runs. */
interface SearchPaths {
  yours: string;
  daemons?: string | undefined;
}

/** @throws BangerError `program_missing` */
function programAt(name: string, { yours, daemons }: SearchPaths): string {
  const found = findProgram(name, daemons ?? yours);
  if (found !== null) return found;
  if (daemons === undefined || findProgram(name, yours) === null)
    throw new BangerError("program_missing", `${name} is not installed`);
  throw new BangerError("program_missing", `${name} is in your PATH, but not in the daemon's (${daemons})`, {
    hint: "banger daemon stop; the next command starts one with your PATH",
  });
}

async function qemuVersion(program: string, paths: SearchPaths): Promise<string> {
  const options = { timeout: toolDeadlineMs, killSignal: "SIGKILL" } as const;
  const { stdout } = await promisify(execFile)(programAt(program, paths), ["--version"], options);
  return stdout.split("\n")[0] ?? "";
}

/** The path itself, or the nearest directory above it that exists. */
function nearest(path: string): string {
  return existsSync(path) || path === "/" ? path : nearest(dirname(path));
}

function problemOf(path: string): string | null {
  const place = nearest(path);
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
    return statSync(place).isDirectory() ? null : `${place} is not a directory`;
  } catch (error) {
    return place === path ? (error as Error).message : `cannot be made: ${(error as Error).message}`;
  }
}

/** That of the places which has the least room: they may be on different file systems. */
async function leastRoom(paths: readonly string[]): Promise<{ path: string; bytes: number }> {
  const rooms = await Promise.all(paths.map(freeBytes));
  return rooms.reduce((least, room) => (room.bytes < least.bytes ? room : least));
}

async function freeBytes(path: string): Promise<{ path: string; bytes: number }> {
  const place = nearest(path);
  const { bavail, bsize } = await statfs(place);
  return { path: place, bytes: bavail * bsize };
}

async function imageOf(home: Home, ref: string): Promise<Extract<HostFacts["image"], { ok: object }>["ok"]> {
  const { images } = homeHandles(home);
  const { fullReference } = await import("../images/resolve.js");
  const name = fullReference(ref);
  const directories = existsSync(images) ? readdirSync(images) : [];
  const ids = directories.flatMap((directory) => {
    const found = parseImageDirectory(directory);
    return found === undefined || found.partial ? [] : [found.id];
  });
  if (ids.some((id) => isImage(imageHandles(home, id).manifest, id, name))) return { name, is: "here" };
  if (name.includes("/")) return { name, is: "in a registry" };
  const { imageIdOf } = await import("../images/catalog.js");
  await imageIdOf(name);
  return { name, is: "in the catalog" };
}

/** Whether the image with this manifest is the one of that id, name or full reference. */
function isImage(manifest: string, id: string, name: string): boolean {
  if (!existsSync(manifest)) return false;
  if (id === name || id.replace(/-[0-9a-f]{8}$/, "") === name) return true;
  try {
    const { oci } = JSON.parse(readFileSync(manifest, "utf8")) as { oci?: { reference: string } };
    return oci?.reference === name;
  } catch {
    return false;
  }
}

async function daemonOf(client: Client): Promise<DaemonView | null> {
  try {
    return await client.call("daemon", { timeoutMs: toolDeadlineMs });
  } catch (error) {
    if (error instanceof BangerError && error.code === "daemon_not_running") return null;
    throw error;
  }
}

function sshOf(home: Home): { included: boolean; written: boolean } {
  const users = userSshConfig(homedir());
  const included = existsSync(users) && isIncluded(readFileSync(users, "latin1"));
  return { included, written: existsSync(homeHandles(home).sshConfig) };
}

/** A daemon that serves has opened its log; without one the log is opened here, for reading only. */
async function logOf(home: Home, serving: boolean): Promise<{ faults: string[] } | null> {
  const path = homeHandles(home).log;
  if (!existsSync(path)) return null;
  if (serving) return { faults: [] };
  const { Log } = await import("../log/log.js");
  const log = Log.open(path, systemClock, { readonly: true });
  try {
    return { faults: log.checkIntegrity() };
  } finally {
    log.close();
  }
}

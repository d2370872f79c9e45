/** What a new guest takes over from its user: the files that the configuration names, and who commits. */
import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import type { GuestConfig } from "../../config/guest.js";
import type { FileSync } from "../../config/values.js";
import { expandHome } from "../../host/home.js";
import type { RunTool } from "../../host/run-tool.js";
import { BangerError } from "../../lib/errors.js";
import type { SeedFile } from "./archive.js";
import { guestCertificates, guestProxies, networkFiles } from "./guest-network.js";

export interface UserFiles {
  files: SeedFile[];
  /** What the configuration names and the host does not have. */
  skipped: FileSync[];
}

export type ReadUserFiles = (signal: AbortSignal) => Promise<UserFiles>;

export interface UserFilesOptions {
  fileSync: readonly FileSync[];
  /** The user's home directory. */
  userHome: string;
  /** The user's own environment, which says where git's configuration is. */
  environment: Readonly<Record<string, string | undefined>>;
  runTool: RunTool;
  /** What new guests are given of the network around them. */
  guest: GuestConfig;
}

/** The seed goes through memory, and over a virtual disk at every boot: it is not meant for a tree of code. */
const most = { files: 10_000, bytes: 64 * 1024 * 1024 };

/** Reads them anew for each VM. @throws BangerError `file_sync_failed` for what is there and cannot be taken */
export function userFilesReader(options: UserFilesOptions): ReadUserFiles {
  return async (signal) => {
    const taken = new Taken();
    const skipped: FileSync[] = [];
    for (const sync of options.fileSync) {
      if (!(await taken.add(expandHome(sync.host, options.userHome), sync))) skipped.push(sync);
    }
    const identity = await gitConfig(options, signal);
    if (identity !== undefined) taken.files.push(identity);
    const certificates = await guestCertificates(options.guest, options.userHome);
    return { files: [...taken.files, ...networkFiles(certificates, guestProxies(options.guest))], skipped };
  };
}

class Taken {
  readonly files: SeedFile[] = [];
  #bytes = 0;

  /** False when there is nothing at `host`. */
  async add(host: string, { guest, mode }: FileSync): Promise<boolean> {
    try {
      const found = await stat(host);
      if (found.isDirectory()) await this.#directory(host, guest, found.mode);
      else if (found.isFile()) await this.#file(host, guest, mode, found.size);
      else throw refused(host, "is neither a file nor a directory");
      return true;
    } catch (error) {
      const { code, path } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" && path === host) return false;
      throw error instanceof BangerError ? error : refused(host, (error as Error).message, error);
    }
  }

  async #file(host: string, path: string, mode: number, size: number): Promise<void> {
    this.#count(host, size);
    this.files.push({ path, mode, content: await readFile(host), once: true });
  }

  async #directory(host: string, path: string, mode: number): Promise<void> {
    this.#count(host, 0);
    this.files.push({ path: `${path}/`, mode: mode & 0o777, once: true });
    const entries = await readdir(host, { withFileTypes: true });
    for (const entry of entries.sort(byName)) {
      const [from, to] = [`${host}/${entry.name}`, `${path}/${entry.name}`];
      const found = await lstat(from);
      if (entry.isDirectory()) await this.#directory(from, to, found.mode);
      else if (entry.isFile()) await this.#file(from, to, found.mode & 0o777, found.size);
      else if (entry.isSymbolicLink()) {
        this.#count(from, 0);
        this.files.push({ path: to, mode: 0o777, link: await readlink(from), once: true });
      }
    }
  }

  #count(host: string, size: number): void {
    this.#bytes += size;
    if (this.files.length < most.files && this.#bytes <= most.bytes) return;
    throw refused(host, `makes it more than ${most.files} files or ${most.bytes >> 20} MiB`);
  }
}

const byName = (a: Dirent, b: Dirent): number => (a.name < b.name ? -1 : 1);

const refused = (host: string, why: string, cause?: unknown): BangerError =>
  new BangerError("file_sync_failed", `file_sync: ${host}: ${why}`, {
    hint: "change or remove that [[file_sync]] in config.toml, then: banger daemon stop",
    cause,
  });

/** The user's name and address as git has them for every repository; undefined without git or without any. */
async function gitConfig(
  { environment, userHome, runTool }: UserFilesOptions,
  signal: AbortSignal,
): Promise<SeedFile | undefined> {
  const argv = ["config", "--global", "--null", "--get-regexp", "^user\\.(name|email)$"];
  const passed = ["XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"].flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const env = { HOME: userHome, ...Object.fromEntries(passed) };
  // git says with its status that there is nothing, and a host without git has nobody to commit as.
  const text = await runTool({ tool: "git", argv, env, writes: userHome, package: "git", signal }).catch(
    () => {
      signal.throwIfAborted();
      return "";
    },
  );
  const lines = text.split("\0").flatMap((entry) => {
    const [key = "", ...value] = entry.split("\n");
    return key === "" ? [] : [`\t${key.replace(/^user\./, "")} = ${gitQuote(value.join("\n"))}\n`];
  });
  if (lines.length === 0) return undefined;
  return { path: "root/.gitconfig", mode: 0o644, content: `[user]\n${lines.join("")}`, once: true };
}

/** A value as git-config(1) has it between quotes. */
const gitQuote = (value: string): string =>
  `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n").replaceAll("\t", "\\t")}"`;

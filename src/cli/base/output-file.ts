/** Where `-o FILE` writes: a file appears there only when it is whole; devices, pipes and links stay what they are. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  createWriteStream,
  lstatSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { basename, dirname, resolve } from "node:path";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { bootId, identify, isAlive } from "../../host/processes.js";
import { systemClock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { Context } from "./context.js";

/** As many as the kernel follows. */
const mostLinks = 40;
/** Descriptors of this process by their other names; what is open there need not be a thing that can be opened again. */
const descriptorPath = /^\/(?:dev|proc\/self|proc\/thread-self)\/fd\/(\d+)$/;
const descriptorNames: Readonly<Record<string, number>> = {
  "/dev/stdin": 0,
  "/dev/stdout": 1,
  "/dev/stderr": 2,
};

type Counting = Writable & { bytesWritten: number };
export type Write = (output: Writable) => Promise<void>;
type Standard = Pick<Context, "stdout" | "stderr">;

/** Has `write` write to what `file` names; yields the number of bytes. @throws BangerError `not_written` */
export async function writeToFile(file: string, standard: Standard, write: Write): Promise<number> {
  try {
    const target = followed(file);
    if (target === 1) return await writeAmong(standard.stdout, write);
    if (target === 2) return await writeAmong(standard.stderr, write);
    if (typeof target === "number") {
      return await writeInto(createWriteStream("", { fd: target, autoClose: false }), write);
    }
    const found = statSync(target, { throwIfNoEntry: false });
    if (found === undefined || found.isFile()) return await writeBeside(target, found, write);
    return await writeInto(createWriteStream(target), write);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof BangerError || code === undefined) throw error;
    throw new BangerError("not_written", `${file} cannot be written: ${reasons[code] ?? code}`, {
      hint: hints[code] ?? "-o FILE in a directory that is yours",
      cause: error,
    });
  }
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EBADF: "it is not open for writing",
  EISDIR: "it is a directory",
  ELOOP: "its links form a loop",
  ENOENT: "its directory does not exist",
  ENOSPC: "no space is left",
  ENOTDIR: "its directory is not a directory",
  EPIPE: "its reader has gone",
  EROFS: "it is on a read-only file system",
};
const hints: Readonly<Record<string, string>> = {
  EISDIR: "-o DIRECTORY/change.patch",
  ENOSPC: "df -h, then again with -o FILE elsewhere",
};

/** The path behind all links, or a descriptor of this process. The last link may lead to what is not there yet. */
function followed(file: string): string | number {
  let path = resolve(file);
  for (let links = 0; links < mostLinks; links += 1) {
    const descriptor = descriptorNames[path] ?? descriptorPath.exec(path)?.[1];
    if (descriptor !== undefined) return Number(descriptor);
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return path;
    path = resolve(dirname(path), readlinkSync(path));
  }
  throw Object.assign(new Error("too many links"), { code: "ELOOP" });
}

/** To a stream that others write to as well; yields the number of bytes. */
export async function writeAmong(output: Counting, write: Write): Promise<number> {
  const before = output.bytesWritten;
  await write(output);
  return output.bytesWritten - before;
}

/** As much of the boot's id as a name has place for. */
const shortBootId = (): string => bootId().slice(0, 8);

/** How the name of an unfinished file ends: by whom it is written, in which boot of which machine. */
const partialEnd = /^\.([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{12}\.partial$/;

function partialOf(target: string): string {
  const own = identify(process.pid);
  const writer = own.is === "present" ? `${own.pid}-${own.startTime}` : "0-0";
  return `${target}.${shortBootId()}-${writer}-${randomBytes(6).toString("hex")}.partial`;
}

const abandonedMs = 24 * 60 * 60_000;

/** Of another boot it may be another machine's, which shares the directory and is at work: a day is enough for that. */
function isAbandoned(path: string, [, boot, pid, startTime]: RegExpExecArray): boolean {
  if (boot === shortBootId()) return !isAlive({ pid: Number(pid), startTime: startTime ?? "" });
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.mtimeMs + abandonedMs < systemClock.now();
}

/** Removes what writers of this file that were killed have left; what cannot be removed is in nobody's way. */
function removeAbandoned(target: string): void {
  const [directory, name] = [dirname(target), basename(target)];
  try {
    for (const each of readdirSync(directory)) {
      const end = each.startsWith(name) ? partialEnd.exec(each.slice(name.length)) : null;
      if (end !== null && isAbandoned(`${directory}/${each}`, end))
        rmSync(`${directory}/${each}`, { force: true });
    }
  } catch {
    // The file itself can still be written.
  }
}

/** Beside its place under a name that nobody else has, then renamed. */
async function writeBeside(target: string, found: Stats | undefined, write: Write): Promise<number> {
  removeAbandoned(target);
  const partial = partialOf(target);
  try {
    const bytes = await writeInto(createWriteStream(partial, { flags: "wx" }), write);
    if (found !== undefined) chmodSync(partial, found.mode & 0o777);
    renameSync(partial, target);
    return bytes;
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}

async function writeInto(output: Counting, write: Write): Promise<number> {
  const done = finished(output);
  try {
    await Promise.race([write(output), done]);
    output.end();
    await done;
    return output.bytesWritten;
  } catch (error) {
    output.destroy();
    await done.catch(() => undefined);
    throw error;
  }
}

/** Where `-o FILE` writes: a file appears there only when it is whole; devices, pipes and links stay what they are. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  createWriteStream,
  lstatSync,
  readlinkSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
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

/** Beside its place under a name that nobody else has, then renamed. */
async function writeBeside(target: string, found: Stats | undefined, write: Write): Promise<number> {
  const partial = `${target}.${randomBytes(6).toString("hex")}.partial`;
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

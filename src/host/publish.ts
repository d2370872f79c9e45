/** Files that appear whole or not at all: written under a temporary name, flushed, renamed. */
import { constants } from "node:fs";
import { access, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** The name under which `path` is made; fixed, so that a second try overwrites what a crash left. */
export const temporaryName = (path: string): string => `${path}.new`;

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** A file of holes that is its owner's alone; what a crash left there goes. */
export async function makeHoles(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.truncate(sizeBytes);
  } finally {
    await file.close();
  }
}

/** Puts a file's content, or a directory's names, on the disk. */
export async function flush(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes `temporaryName(path)` durable and gives it its name. */
export async function publish(path: string): Promise<void> {
  await flush(temporaryName(path));
  await rename(temporaryName(path), path);
  await flush(dirname(path));
}

/** Writes `content` to `path` as a whole. */
export async function publishContent(path: string, content: string | Buffer, mode: number): Promise<void> {
  const file = await open(temporaryName(path), "w", mode);
  try {
    await file.chmod(mode);
    await file.writeFile(content);
  } finally {
    await file.close();
  }
  await publish(path);
}

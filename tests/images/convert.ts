/** Makes root disks in tests, and looks at them. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { type Layer, type RootfsOptions, type RootfsResult, writeRootfs } from "../../src/oci/layers.js";
import { Ext4Reader, type Seen } from "./ext4-reader.js";

export const rootfsOptions = (): RootfsOptions => ({
  minimumFreeMiB: 8,
  seconds: 1_700_000_000,
  searchPath: process.env.PATH ?? "",
  signal: new AbortController().signal,
});

/** Layers as files at `directory`, without a cache. */
export async function layerFiles(directory: string, layers: readonly Buffer[]): Promise<Layer[]> {
  return Promise.all(
    layers.map(async (bytes, index) => {
      const path = `${directory}/layer-${index}`;
      await writeFile(path, bytes);
      return { digest: `sha256:${String(index).padStart(64, "0")}`, size: bytes.length, path };
    }),
  );
}

/** Throws with e2fsck's words when it finds anything to say. */
export async function fsck(path: string): Promise<void> {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  await promisify(execFile)("e2fsck", ["-fn", path], { env }).catch((error: { stdout?: string }) => {
    throw new Error(`e2fsck: ${error.stdout}`);
  });
}

export function treeOf(path: string): Map<string, Seen> {
  const reader = new Ext4Reader(path);
  try {
    return reader.tree();
  } finally {
    reader.close();
  }
}

/** The tree that these archives make, after e2fsck found it sound. */
export async function convert(
  directory: string,
  layers: readonly Buffer[],
  options: Partial<RootfsOptions> = {},
): Promise<{ tree: Map<string, Seen>; result: RootfsResult; path: string }> {
  const path = `${directory}/root.ext4`;
  const result = await writeRootfs(await layerFiles(directory, layers), path, {
    ...rootfsOptions(),
    ...options,
  });
  await fsck(path);
  return { tree: treeOf(path), result, path };
}

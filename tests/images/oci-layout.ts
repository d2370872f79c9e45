/** Builds images from tar layers with umoci, and has umoci unpack them for comparison. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

export async function tool(name: string, argv: readonly string[]): Promise<string> {
  const { stdout } = await run(name, [...argv], { maxBuffer: 1 << 26 });
  return stdout;
}

/** An OCI layout at `directory` with one image, tagged "made", of these layers. */
export async function makeLayout(directory: string, layers: readonly Buffer[]): Promise<void> {
  await tool("umoci", ["init", "--layout", directory]);
  await tool("umoci", ["new", "--image", `${directory}:made`]);
  for (const [index, layer] of layers.entries()) {
    const path = `${directory}.${index}.tar`;
    await writeFile(path, layer);
    await tool("umoci", ["raw", "add-layer", "--image", `${directory}:made`, path]);
  }
}

/** The tree that umoci makes of it. */
export async function umociUnpack(layout: string, bundle: string): Promise<string> {
  await tool("umoci", ["unpack", "--image", `${layout}:made`, bundle]);
  return `${bundle}/rootfs`;
}

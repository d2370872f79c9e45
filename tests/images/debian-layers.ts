/** Debian as containers have it, as layers pushed to a registry. */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { toolRunner } from "../../src/host/run-tool.js";
import { type PackageSources, packageSources } from "../../src/images/apt-sources.js";
import { sharedData } from "../e2e/harness.js";
import { makeLayout, tool } from "./oci-layout.js";

const suite = "bookworm";

/** Where the host's own apt has Debian from. */
export const hostSources = (): Promise<PackageSources> =>
  packageSources(suite, null, toolRunner(process.env["PATH"] ?? ""), new AbortController().signal);

/** Debian without kernel, and without init and sshd unless asked for; minutes to make, so it is kept like images are. */
export async function debianTar(...packages: string[]): Promise<string> {
  const path = join(sharedData, `${["debian-minbase", ...packages].join("+")}.tar`);
  if (existsSync(path)) return path;
  mkdirSync(sharedData, { recursive: true });
  const include = packages.length === 0 ? [] : [`--include=${packages.join(",")}`];
  await tool("mmdebstrap", ["--quiet", "--variant=minbase", ...include, suite, `${path}.new.tar`]);
  renameSync(`${path}.new.tar`, path);
  return path;
}

/** Pushes an image of these tar files, the lowest layer first, to `host`/`name`; `directory` is for its making. */
export async function pushLayers(
  directory: string,
  host: string,
  name: string,
  layers: readonly string[],
  config: readonly string[] = [],
): Promise<void> {
  const layout = join(directory, "layout");
  await makeLayout(layout, []);
  const image = ["--image", `${layout}:made`];
  for (const layer of layers) await tool("umoci", ["raw", "add-layer", ...image, layer]);
  await tool("umoci", ["config", ...image, "--os", "linux", "--architecture", "amd64", ...config]);
  const target = [`oci:${layout}:made`, `docker://${host}/${name}`];
  await tool("skopeo", ["copy", "-q", "--dest-tls-verify=false", ...target]);
  await tool("rm", ["-r", layout]);
}

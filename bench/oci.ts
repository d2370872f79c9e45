/** How long an image of 300 MB and 20,000 files takes from registry to root disk, against umoci and mke2fs. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { makeLayout, tool, umociUnpack } from "../tests/images/oci-layout.js";
import { startRegistry } from "../tests/images/real-registry.js";
import { type MadeEntry, tar } from "../tests/images/tar-maker.js";

export interface OciBench {
  bytes: number;
  files: number;
  packedBytes: number;
  /** Pull from a loopback registry and conversion, in one process with an empty cache. */
  oursMs: number;
  peakMiB: number;
  /** umoci unpack and mke2fs -d of the same image, which lies on the disk already. */
  theirsMs: number;
  ratio: number;
}

const layerCount = 4;
const filesPerLayer = 5000;
const averageBytes = 15_000;
const child = fileURLToPath(new URL("./oci-child.js", import.meta.url));

/** Words in an order that a hash decides: packs about as well as programs and their sources do. */
function content(seed: string, length: number): Buffer {
  const bytes = Buffer.alloc(length + 160);
  for (let at = 0, block = createHash("sha512").update(seed).digest(); at < length; at += 160) {
    block = createHash("sha512").update(block).digest();
    bytes.write(block.toString("hex").slice(0, 80), at);
    bytes.write(`the quick brown fox jumps over the lazy dog ${block[0]} times, and once more.`, at + 80);
  }
  return bytes.subarray(0, length);
}

function layer(number: number): Buffer {
  const entries: MadeEntry[] = [{ name: `layer-${number}/`, type: "5", mode: 0o755 }];
  for (let i = 0; i < filesPerLayer; i++) {
    const directory = `layer-${number}/${Math.floor(i / 100)}`;
    if (i % 100 === 0) entries.push({ name: `${directory}/`, type: "5", mode: 0o755 });
    const length = Math.round(averageBytes * (0.1 + ((i * 7919) % 1800) / 1000));
    entries.push({ name: `${directory}/file-${i}`, data: content(`${number}/${i}`, length) });
  }
  return tar(entries);
}

const milliseconds = async (work: () => Promise<unknown> | unknown): Promise<number> => {
  const start = process.hrtime.bigint();
  await work();
  return Number((process.hrtime.bigint() - start) / 1_000_000n);
};

const treeBytes = (path: string): number =>
  Number(execFileSync("du", ["-sb", path], { encoding: "utf8" }).split("\t")[0]);

/** Needs docker-registry, skopeo, umoci and e2fsprogs; the files lie below `base` for the time of the run. */
export async function benchOci(base = "/var/tmp"): Promise<OciBench> {
  const directory = mkdtempSync(`${base}/banger-bench-oci-`);
  const registry = await startRegistry(directory);
  try {
    const layout = `${directory}/layout`;
    await makeLayout(
      layout,
      Array.from({ length: layerCount }, (_, number) => layer(number)),
    );
    const reference = `${registry.host}/bench/image:1`;
    await tool("skopeo", [
      "copy",
      "-q",
      "--dest-tls-verify=false",
      `oci:${layout}:made`,
      `docker://${reference}`,
    ]);
    mkdirSync(`${directory}/ours`);
    let ours = { peakMiB: 0, packedBytes: 0 };
    const oursMs = await milliseconds(() => {
      const ran = spawnSync(
        process.execPath,
        ["--max-semi-space-size=2", child, reference, `${directory}/ours`],
        { encoding: "utf8" },
      );
      if (ran.status !== 0) throw new Error(ran.stderr);
      ours = JSON.parse(ran.stdout) as typeof ours;
    });
    let bytes = 0;
    const theirsMs = await milliseconds(async () => {
      const tree = await umociUnpack(layout, `${directory}/bundle`);
      bytes = treeBytes(tree);
      const disk = `${directory}/theirs.ext4`;
      await tool("mke2fs", ["-q", "-F", "-t", "ext4", "-d", tree, disk, "1024M"]);
      await tool("sync", [disk]);
    });
    if (statSync(`${directory}/ours/root.ext4`).size === 0) throw new Error("nothing was written");
    return { bytes, files: layerCount * filesPerLayer, ...ours, oursMs, theirsMs, ratio: oursMs / theirsMs };
  } finally {
    await registry.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** How long an image of 300 MB and 20,000 files takes from registry to root disk, against umoci and mke2fs. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { TestHome } from "../tests/e2e/harness.js";
import { makeLayout, tool, umociUnpack } from "../tests/images/oci-layout.js";
import { startRegistry } from "../tests/images/real-registry.js";
import { type MadeEntry, tar } from "../tests/images/tar-maker.js";
import { type Figure, time } from "./measure.js";

interface OciRun {
  bytes: number;
  files: number;
  packedBytes: number;
  /** Pull from a loopback registry and conversion, in one process with an empty cache. */
  oursMs: number;
  /** Of the process that pulls and converts. */
  peakMiB: number;
  /** umoci unpack and mke2fs -d of the same image, which lies on the disk already. */
  theirsMs: number;
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

async function measure(directory: string, host: string): Promise<OciRun> {
  const layout = `${directory}/layout`;
  await makeLayout(
    layout,
    Array.from({ length: layerCount }, (_, number) => layer(number)),
  );
  const reference = `${host}/bench/image:1`;
  await tool("skopeo", [
    "copy",
    "-q",
    "--dest-tls-verify=false",
    `oci:${layout}:made`,
    `docker://${reference}`,
  ]);
  const ours = `${directory}/ours`;
  mkdirSync(ours);
  let said = { peakMiB: 0, packedBytes: 0 };
  const oursMs = await time({
    run() {
      const argv = ["--max-semi-space-size=2", child, reference, ours];
      said = JSON.parse(execFileSync(process.execPath, argv, { encoding: "utf8" })) as typeof said;
    },
  });
  const theirsMs = await time({
    async run() {
      const tree = await umociUnpack(layout, `${directory}/bundle`);
      const disk = `${directory}/theirs.ext4`;
      await tool("mke2fs", ["-q", "-F", "-t", "ext4", "-d", tree, disk, "1024M"]);
      await tool("sync", [disk]);
    },
  });
  const du = execFileSync("du", ["-sb", `${directory}/bundle/rootfs`], { encoding: "utf8" });
  const bytes = Number(du.split("\t")[0]);
  return { bytes, files: layerCount * filesPerLayer, ...said, oursMs, theirsMs };
}

/** Needs docker-registry, skopeo, umoci and e2fsprogs. */
export async function ociImage(home: TestHome): Promise<Figure[]> {
  const directory = `${home.root}/oci`;
  mkdirSync(directory);
  const registry = await startRegistry(directory);
  try {
    const { oursMs, theirsMs, peakMiB, bytes, files } = await measure(directory, registry.host);
    const size = `${Math.round(bytes / 1e6)} MB, ${files} files`;
    const value = oursMs / theirsMs;
    const samples = { measured: [oursMs], floor: [theirsMs] };
    const about = `pull and convert an image of ${size} / umoci unpack + mke2fs -d`;
    return [
      { name: "o", about, value, unit: "×", bound: "≤ 0.8", holds: value <= 0.8, samples },
      {
        name: "o",
        about: "the same, peak memory",
        value: peakMiB,
        unit: "MiB",
        bound: "≤ 200",
        holds: peakMiB <= 200,
        samples: {},
      },
    ];
  } finally {
    await registry.stop();
  }
}

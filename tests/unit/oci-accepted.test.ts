/** Layers as containerd, umoci and Docker take them, in every packing that they know. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { convert } from "../images/convert.js";
import { type MadeEntry, tar } from "../images/tar-maker.js";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp("/tmp/banger-accepted-");
});

afterEach(() => rm(directory, { recursive: true, force: true }));

const dir = (name: string): MadeEntry => ({ name, type: "5", mode: 0o755 });

describe("layers that other tools take", () => {
  const after = async (...layers: MadeEntry[][]) => {
    const { tree } = await convert(directory, layers.map(tar));
    return tree;
  };
  const holds = (text: string) => createHash("sha256").update(text).digest("hex");

  test("have paths that go up and stay inside, cleaned by their text as containerd does", async () => {
    const tree = await after([
      { name: "x/../y", data: "data" },
      { name: "./a/b/../../z", data: "z" },
      { name: "x/a", data: "first" },
      { name: "hard", type: "1", link: "x/../x/a" },
    ]);
    assert.equal(tree.get("y")?.hash, holds("data"));
    assert.equal(tree.get("z")?.hash, holds("z"));
    assert.equal(tree.get("hard")?.links, 2);
    assert.ok(!tree.has("a"), "what a path only passes is not made");
  });

  test("put a directory over a file, a file over a directory, and a path through a file, as umoci does", async () => {
    const tree = await after(
      [
        { name: "a", data: "file" },
        { name: "f", data: "file" },
        { name: "d/in/it", data: "deep" },
      ],
      [{ name: "a/b", data: "new" }, dir("f/"), { name: "d", data: "flat" }, { name: "s/f", data: "x" }],
      [{ name: "s/f/g/h", data: "deeper" }],
    );
    assert.equal(tree.get("a")?.type, 0o040000);
    assert.equal(tree.get("a/b")?.hash, holds("new"));
    assert.equal(tree.get("f")?.type, 0o040000);
    assert.equal(tree.get("d")?.hash, holds("flat"));
    assert.ok(!tree.has("d/in"));
    assert.equal(tree.get("s/f/g/h")?.hash, holds("deeper"));
  });

  test("end where the last entry's data ends, with nothing to fill up its block", async () => {
    const whole = tar([{ name: "a", data: "short" }]);
    const { tree } = await convert(directory, [whole.subarray(0, 517), Buffer.alloc(0)]);
    assert.equal(tree.get("a")?.hash, holds("short"));
  });

  const packedBy =
    (tool: string, ...argv: string[]) =>
    (bytes: Buffer) =>
      execFileSync(tool, argv, { input: bytes, maxBuffer: 1 << 26 });
  const half = (bytes: Buffer): [Buffer, Buffer] => [bytes.subarray(0, 700), bytes.subarray(700)];
  const skippable = Buffer.from("5d2a4d1808000000metadata".slice(0, 16), "hex");
  const frame = Buffer.concat([skippable, Buffer.from("metadata")]);
  const zstd = packedBy("zstd", "-qc");
  const packings: [string, (bytes: Buffer) => Buffer][] = [
    ["gzip", gzipSync],
    ["gzip in two members", (bytes) => Buffer.concat(half(bytes).map((part) => gzipSync(part)))],
    ["zstd", zstd],
    ["zstd in two frames", (bytes) => Buffer.concat(half(bytes).map(zstd))],
    ["zstd after a skippable frame", (bytes) => Buffer.concat([frame, zstd(bytes)])],
    [
      "zstd with skippable frames between and after",
      (bytes) => Buffer.concat(half(bytes).flatMap((part) => [zstd(part), frame])),
    ],
    ["xz", packedBy("xz", "-c")],
    ["bzip2", packedBy("bzip2", "-c")],
  ];
  for (const [what, pack] of packings)
    test(`are packed with ${what}`, async () => {
      const bytes = tar([{ name: "a", data: Buffer.alloc(3000, "a") }]);
      const { tree } = await convert(directory, [pack(bytes)]);
      assert.equal(tree.get("a")?.hash, holds("a".repeat(3000)));
    });
});

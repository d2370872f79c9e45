/** Layers that are hostile, broken or merely strange: refused with the entry named, or unpacked inside the tree. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type RootfsOptions, writeRootfs } from "../../src/oci/layers.js";
import { convert, fsck, layerFiles, rootfsOptions, treeOf } from "../images/convert.js";
import { sparseEntry } from "../images/layer-samples.js";
import { type MadeEntry, tar } from "../images/tar-maker.js";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp("/tmp/banger-layers-");
});

afterEach(() => rm(directory, { recursive: true, force: true }));

/** Expects that the layers are refused with words like these, and that no disk is left. */
async function refused(
  layers: readonly Buffer[],
  words: RegExp,
  options: Partial<RootfsOptions> = {},
): Promise<void> {
  const files = await layerFiles(directory, layers);
  const target = `${directory}/root.ext4`;
  const code = options.sizeMiB === undefined ? "layer_refused" : "image_too_large";
  await assert.rejects(writeRootfs(files, target, { ...rootfsOptions(), ...options }), {
    code,
    message: words,
  });
  assert.ok(!readdirSync(directory).includes("root.ext4"));
}

const dir = (name: string): MadeEntry => ({ name, type: "5", mode: 0o755 });

describe("layers that are refused", () => {
  const cases: [string, MadeEntry[], RegExp][] = [
    [
      "a path upwards",
      [{ name: "a/../../etc/shadow" }],
      /entry "a\/\.\.\/\.\.\/etc\/shadow": its path leads out of the root/,
    ],
    ["a link target upwards", [{ name: "a", type: "1", link: "../b" }], /entry "a": its path leads out/],
    [
      "a hard link to nothing",
      [{ name: "a", type: "1", link: "b" }],
      /"a": it is a hard link to "b", which is not/,
    ],
    ["a hard link to a directory", [dir("d/"), { name: "a", type: "1", link: "d" }], /"a".*to a directory/],
    [
      "links in a circle",
      [{ name: "l", type: "2", link: "l" }, { name: "l/x" }],
      /"l\/x".*too many symbolic links/,
    ],
    ["a zero byte", [{ name: "a", pax: [["path", "a\0b"]] }], /zero byte/],
    ["a name too long", [{ name: "n".repeat(256) }], /too long/],
    ["a link too long", [{ name: "l", type: "2", link: "l".repeat(5000) }], /entry "l".*too long/],
    ["an unknown type", [{ name: "a", type: "Z" }], /entry "a".*unknown type/],
    ["a root that is a file", [{ name: "./" }], /not a directory/],
    ["a malformed attribute", [{ name: "a", pax: [["size", "-5"]] }], /not a number/],
    ["a device out of range", [{ name: "d", type: "3", major: 5000, minor: 1 }], /entry "d".*no device/],
    [
      "attributes too large",
      [{ name: "a", pax: [["SCHILY.xattr.user.x", Buffer.alloc(5000, "x")]] }],
      /entry "a".*larger than ext4/,
    ],
    ["data that is not there", [{ name: "a", data: "short", size: 100_000 }], /entry "a".*cut short/],
  ];
  for (const [what, entries, words] of cases) test(what, () => refused([tar(entries)], words));

  test("packed bytes that are torn or flipped", async () => {
    const whole = gzipSync(
      tar([{ name: "a", data: Buffer.from(Array.from({ length: 50_000 }, (_, i) => i * 7)) }]),
    );
    const flipped = Buffer.from(whole);
    flipped.writeUInt8((flipped[whole.length >> 1] as number) ^ 0xff, whole.length >> 1);
    await refused([whole.subarray(0, whole.length >> 1)], /cannot be unpacked|cut short/);
    await refused([flipped], /cannot be unpacked|checksum|cut short|malformed|unknown/);
    await refused([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3])], /cannot be unpacked/);
  });

  test("bombs: by their ratio, their bytes and their entries", async () => {
    const bomb = gzipSync(tar([{ name: "zeros", data: Buffer.alloc(30_000_000) }]));
    await refused([bomb], /entry "zeros".*more than 50 times/, {
      limits: { maximumRatio: 50, ratioFromBytes: 1_000_000 },
    });
    await refused([bomb], /more than 1000000 bytes/, { limits: { maximumBytes: 1_000_000 } });
    const many = tar(Array.from({ length: 200 }, (_, index) => ({ name: `f${index}` })));
    await refused([many], /entry "f\d+".*more than 100 entries/, { limits: { maximumEntries: 100 } });
  });

  const limits = { maximumSteps: 10_000 };
  const times = (count: number, entry: MadeEntry) => Array.from({ length: count }, () => entry);
  const hundred = Array.from({ length: 100 }, (_, index) => ({ name: `d/${index}` }));
  const slow: [string, Buffer[]][] = [
    [
      "take away the same names again and again",
      [tar([...hundred, ...times(200, { name: "d/.wh..wh..opq" })])],
    ],
    [
      "make a directory a file and a directory again, for ever",
      [
        tar([
          ...hundred,
          ...Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? { name: "d" } : dir("d/"))),
        ]),
      ],
    ],
    [
      "lead each entry through a long link",
      [tar([dir("d/"), { name: "l", type: "2", link: "d/../".repeat(800) }, ...times(20, { name: "l/f" })])],
    ],
  ];
  for (const [what, layers] of slow)
    test(`few bytes that ${what}`, () => refused(layers, /too many steps/, { limits }));

  test("content other than the configuration says", async () => {
    const [layer] = await layerFiles(directory, [tar([{ name: "a" }])]);
    assert.ok(layer);
    const wrong = { ...layer, diffId: `sha256:${"1".repeat(64)}` };
    await assert.rejects(writeRootfs([wrong], `${directory}/root.ext4`, rootfsOptions()), /something else/);
  });

  test("more content than the wanted disk holds", () =>
    refused([tar([{ name: "a", data: Buffer.alloc(40 << 20) }])], /takes \d+ MiB or more/, { sizeMiB: 32 }));

  test("a disk that was there before stays as it was", async () => {
    const { path } = await convert(directory, [tar([{ name: "a" }])]);
    await assert.rejects(writeRootfs([], path, rootfsOptions()), { code: "host_failed" });
    assert.ok(treeOf(path).has("a"));
  });
});

describe("layers that try to leave the tree", () => {
  test("land inside it, where their links lead from the root", async () => {
    const { tree } = await convert(directory, [
      tar([
        dir("etc/"),
        { name: "out", type: "2", link: "/../../etc" },
        { name: "out/passwd", data: "guest" },
        { name: "dangling", type: "2", link: "/made/here" },
        { name: "dangling/file", data: "f" },
      ]),
      tar([{ name: "etc", type: "2", link: "/tmp" }, dir("tmp/"), { name: "etc/after", data: "x" }]),
    ]);
    assert.equal(tree.get("etc")?.type, 0o120000);
    assert.ok(tree.has("tmp/after"));
    assert.ok(tree.has("made/here/file"));
    assert.ok(!tree.has("etc/passwd"));
  });

  test("have whiteouts that touch only what lies below", async () => {
    const { tree } = await convert(directory, [
      tar([dir("a/"), { name: "a/low" }, { name: "b" }]),
      tar([
        { name: "a/.wh..wh..opq" },
        { name: "a/high" },
        { name: ".wh.b" },
        { name: "b", data: "again" },
        { name: ".wh.never-was" },
        { name: ".wh..wh.plnk" },
        { name: ".wh..." },
      ]),
    ]);
    assert.deepEqual([...tree.keys()].sort(), ["", "a", "a/high", "b"]);
  });
});

describe("the disk", () => {
  test("holds sparse files, huge directories and files of many extents", async () => {
    const far = 40 * 2 ** 30;
    const pieces = Array.from(
      { length: 2000 },
      (_, i) => [i * 12_288 + 100, Buffer.from(`piece ${i}`)] as const,
    );
    const names = Array.from({ length: 100_000 }, (_, index) => ({
      name: `many/${index}-${"n".repeat(index % 40)}`,
    }));
    const archive = Buffer.concat([
      sparseEntry("pieces", 2000 * 12_288, pieces),
      sparseEntry("far", far, [[far - 4, Buffer.from("tail")]]),
      tar([dir("many/"), ...names]),
    ]);
    const path = `${directory}/root.ext4`;
    await writeRootfs(await layerFiles(directory, [archive]), path, rootfsOptions());
    await fsck(path);
    const debugfs = (command: string): string =>
      execFileSync("/sbin/debugfs", ["-R", command, path], {
        encoding: "latin1",
        stdio: "pipe",
        maxBuffer: 1 << 28,
      });
    const expected = Buffer.alloc(2000 * 12_288);
    for (const [offset, bytes] of pieces) bytes.copy(expected, offset);
    assert.ok(Buffer.from(debugfs("cat pieces"), "latin1").equals(expected));
    assert.match(debugfs("stat far"), new RegExp(`Size: ${far}`));
    assert.match(debugfs("stat far"), /Blockcount: 8\b/);
    assert.equal(
      debugfs("ls -p many")
        .split("\n")
        .filter((line) => line.includes("-")).length,
      100_000,
    );
  });

  test("is the same for the same layers, has the wanted size and grows", async () => {
    const layers = [tar([{ name: "a", data: Buffer.alloc(100_000, "a") }, dir("d/")])];
    const { path, result } = await convert(directory, layers, { sizeMiB: 300 });
    assert.equal(result.totalBytes, 300 * 2 ** 20);
    const once = execFileSync("sha256sum", [path], { encoding: "utf8" });
    await rm(path);
    await convert(directory, layers, { sizeMiB: 300 });
    assert.equal(execFileSync("sha256sum", [path], { encoding: "utf8" }), once);
    execFileSync("truncate", ["-s", "5G", path]);
    execFileSync("/sbin/resize2fs", ["-f", path], { stdio: "pipe" });
    await fsck(path);
    assert.equal(treeOf(path).get("a")?.size, 100_000);
  });

  test("takes in what banger adds, chosen after a look at the layers", async () => {
    const { tree } = await convert(
      directory,
      [
        tar([
          { name: "sbin", type: "2", link: "usr/sbin" },
          { name: "etc/os-release", data: "ID=debian\n" },
        ]),
      ],
      {
        extraEntries: (view) => [
          {
            type: "file",
            path: "/sbin/agent",
            mode: 0o755,
            content: Buffer.from(String(view.read("/etc/os-release"))),
          },
          { type: "directory", path: `/${view.type("/sbin/init") ?? "absent"}`, mode: 0o700 },
          { type: "symlink", path: "/etc/link", target: "agent" },
        ],
      },
    );
    assert.equal(tree.get("usr/sbin/agent")?.size, 10);
    assert.equal(tree.get("absent")?.mode, 0o700);
    assert.equal(tree.get("etc/link")?.type, 0o120000);
  });
});

test("GNU tar's archives of sparse files and long names are read in all its formats", async () => {
  const source = `${directory}/source`;
  const long = "l".repeat(150);
  execFileSync("sh", [
    "-c",
    `mkdir -p "$1/$2" && echo data >"$1/$2/$2" && ln "$1/$2/$2" "$1/hard" && ln -s "$2/$2" "$1/soft" &&
     truncate -s 300K "$1/sparse" && for at in 0 50 100 150 200 250 290; do
       echo "at $at" | dd of="$1/sparse" bs=1K seek=$at conv=notrunc status=none; done`,
    "sh",
    source,
    long,
  ]);
  const formats = [
    "gnu",
    "pax --sparse-version=0.0",
    "pax --sparse-version=0.1",
    "pax --sparse-version=1.0",
    "oldgnu",
  ];
  const seen: unknown[] = [];
  for (const format of formats) {
    const argv = ["-S", ...`--format=${format}`.split(" "), "-C", source, "-c", "."];
    const { tree, path } = await convert(directory, [execFileSync("tar", argv, { maxBuffer: 1 << 24 })]);
    // pax keeps nanoseconds, the older formats do not.
    seen.push(Object.fromEntries([...tree].map(([name, entry]) => [name, { ...entry, mtime: "" }])));
    assert.equal(tree.get(`${long}/${long}`)?.size, 5, format);
    assert.equal(tree.get("sparse")?.size, 300 * 1024, format);
    await rm(path);
  }
  for (const other of seen) assert.deepEqual(other, seen[0]);
  const real = execFileSync("sha256sum", [`${source}/sparse`], { encoding: "utf8" }).split(" ")[0];
  assert.equal((seen[0] as Record<string, { hash: string }>).sparse?.hash, real);
});

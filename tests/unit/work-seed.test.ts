/** The seed of /root: all that the image has there, made once for each state of its root disk, refused when unreadable. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { findWorkSeed, makeWorkSeed } from "../../src/images/work-seed.js";
import { BangerError } from "../../src/lib/errors.js";
import { convert, fsck, treeOf } from "../images/convert.js";
import type { Seen } from "../images/ext4-reader.js";
import { sampleEntries, sparseEntry } from "../images/layer-samples.js";
import { listTree } from "../images/list-tree.js";
import { tar } from "../images/tar-maker.js";

const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
let directory: string;
let rootfs: string;

beforeEach(() => {
  directory = mkdtempSync("/tmp/banger-seed-");
  rootfs = join(directory, "rootfs.ext4");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const run = (tool: string, ...argv: string[]): string =>
  execFileSync(tool, argv, { env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** The path of the seed that the image has now. */
async function made(): Promise<string> {
  await makeWorkSeed(directory);
  const found = await findWorkSeed(directory);
  assert.equal(found.is, "made");
  return (found as { path: string }).path;
}

/** What lies below root/, as it is to lie in the seed, whose own directory is 0755 and root's. */
function belowRoot(tree: Map<string, Seen>): Record<string, Seen> {
  const found = [...tree].flatMap(([path, seen]) =>
    path.startsWith("root/") ? [[path.slice("root/".length), seen] as const] : [],
  );
  return Object.fromEntries(found);
}

function assertSame(seed: string, expected: Record<string, Seen>): void {
  const tree = treeOf(seed);
  const { mode, uid, gid } = tree.get("") as Seen;
  assert.deepEqual([mode, uid, gid], [0o755, 0, 0]);
  tree.delete("");
  assert.deepEqual([...tree.keys()].sort(), Object.keys(expected).sort());
  for (const [path, seen] of tree) assert.deepEqual(seen, expected[path], path);
}

/** A tree of the host's: what mke2fs can put into a file system without being root. */
function hostTree(): string {
  const tree = join(directory, "tree");
  const root = join(tree, "root");
  mkdirSync(join(root, "many"), { recursive: true });
  for (let index = 0; index < 300; index++)
    writeFileSync(join(root, `many/a-name-of-some-length-${index}`), `${index}`);
  writeFileSync(join(root, ".wh.hidden"), "a name that means something in layers");
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe])]), "not UTF-8");
  writeFileSync(join(root, "plain"), "plain");
  chmodSync(join(root, "plain"), 0o4751);
  linkSync(join(root, "plain"), join(root, "many/again"));
  symlinkSync("short", join(root, "link"));
  symlinkSync("l".repeat(200), join(root, "long-link"));
  writeFileSync(join(root, "big"), Buffer.alloc(3_000_000, "big"));
  const holes = openSync(join(root, "holes"), "w");
  // Each piece an extent of its own: too many for the inode.
  for (let piece = 0; piece < 40; piece++) writeSync(holes, `piece ${piece}`, piece << 18);
  closeSync(holes);
  truncateSync(join(root, "holes"), 20 << 20);
  // mke2fs takes whole seconds.
  run("find", root, "-exec", "touch", "-h", "-d", "@1600000000", "{}", "+");
  return tree;
}

describe("the seed of /root", () => {
  for (const options of [[], ["-b", "4096", "-O", "^64bit,^metadata_csum"], ["-b", "2048", "-I", "512"]])
    test(`has what mke2fs ${options.join(" ")} has put there`, async () => {
      const tree = hostTree();
      const expected = belowRoot(listTree(tree));
      writeFileSync(rootfs, "");
      truncateSync(rootfs, 64 << 20);
      run("mke2fs", "-q", "-F", "-t", "ext4", ...options, "-d", tree, rootfs);
      rmSync(tree, { recursive: true });
      const seed = await made();
      await fsck(seed);
      assertSame(seed, expected);
    });

  test("has owners, attributes, devices and times of every kind of entry", async () => {
    const inRoot = sampleEntries.map(({ name, type, link, ...rest }) => ({
      ...rest,
      name: `root/${name}`,
      ...(type !== undefined && { type }),
      ...(link !== undefined && { link: type === "1" ? `root/${link}` : link }),
    }));
    const sparse = sparseEntry("root/sparse", 30 << 20, [
      [0, Buffer.alloc(5000, "a")],
      [10 << 20, Buffer.alloc(5000, "z")],
    ]);
    const { tree, path } = await convert(directory, [
      tar(inRoot),
      Buffer.concat([sparse, Buffer.alloc(1024)]),
    ]);
    renameSync(path, rootfs);
    const seed = await made();
    await fsck(seed);
    assertSame(seed, belowRoot(tree));
  });

  for (const name of ["root/", "etc/"])
    test(`is none where there is nothing but ${name}`, async () => {
      const { path } = await convert(directory, [tar([{ name, type: "5" }])]);
      renameSync(path, rootfs);
      assert.deepEqual(await findWorkSeed(directory), { is: "missing" });
      await makeWorkSeed(directory);
      assert.deepEqual(await findWorkSeed(directory), { is: "empty" });
    });

  test("is made anew when the root disk has changed, and those of before go", async () => {
    const { path } = await convert(directory, [tar([{ name: "root/file", data: "first" }])]);
    renameSync(path, rootfs);
    const first = await made();
    writeFileSync(`${first}.new`, "what a crash has left");
    assert.deepEqual(await findWorkSeed(directory), { is: "made", path: first });
    run("debugfs", "-w", "-R", "rm /root/file", rootfs);
    assert.deepEqual(await findWorkSeed(directory), { is: "missing" });
    await makeWorkSeed(directory);
    assert.deepEqual(await findWorkSeed(directory), { is: "empty" });
    assert.equal(readdirSync(directory).filter((name) => name.startsWith("work-seed")).length, 1);
  });

  test("is the one that the image has been given, if any", async () => {
    const { path } = await convert(directory, [tar([{ name: "root/file", data: "first" }])]);
    renameSync(path, rootfs);
    await made();
    writeFileSync(join(directory, "work-seed.ext4"), "given");
    assert.deepEqual(await findWorkSeed(directory), { is: "own", path: join(directory, "work-seed.ext4") });
  });
});

describe("a root disk that cannot be read", () => {
  const refused = (message: RegExp, hint: RegExp) =>
    assert.rejects(makeWorkSeed(directory), (error: BangerError) => {
      assert.equal(error.code, "rootfs_unreadable");
      assert.match(error.message, message);
      assert.match(error.hint ?? "", hint);
      return true;
    });

  test("is refused with what to do", async () => {
    writeFileSync(rootfs, Buffer.alloc(4096));
    await refused(/not contain an ext4/, /--work-seed/);
    const { path } = await convert(directory, [tar([{ name: "root/file", data: "first" }])]);
    renameSync(path, rootfs);
    run("debugfs", "-w", "-R", "feature needs_recovery", rootfs);
    await refused(/not unmounted cleanly/, /e2fsck -f -p/);
    run("debugfs", "-w", "-R", "feature -needs_recovery encrypt", rootfs);
    await refused(/features/, /--work-seed/);
    assert.deepEqual(
      readdirSync(directory).filter((name) => /^work-seed.*ext4$/.test(name)),
      [],
    );
  });

  test("is never more than refused, whatever is wrong with it", async () => {
    const files = Array.from({ length: 200 }, (_, index) => ({
      name: `root/d/file-${index}`,
      data: `${index}`,
    }));
    const { path } = await convert(directory, [tar([{ name: "root/a", type: "2", link: "b" }, ...files])], {
      minimumFreeMiB: 1,
    });
    const sound = readFileSync(path);
    // Bytes of metadata: what is zero is mostly not in use.
    const used = [...sound.keys()].filter((at) => sound[at] !== 0);
    let seed = 1;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    let refusals = 0;
    for (let round = 0; round < 60; round++) {
      const broken = Buffer.from(sound);
      for (let flips = 0; flips < 30; flips++) broken[used[random(used.length)] as number] = random(256);
      writeFileSync(rootfs, broken);
      await makeWorkSeed(directory).catch((error: unknown) => {
        assert.ok(error instanceof BangerError, String((error as Error).stack));
        assert.ok(["rootfs_unreadable", "image_too_large"].includes(error.code), error.message);
        refusals += 1;
      });
    }
    assert.ok(refusals > 10, `${refusals} refusals`);
  });
});

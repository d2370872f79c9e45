/** Paths below the owner's directories: no symlink, no other file system, no foreign file, whatever is swapped in. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chownSync,
  closeSync,
  constants,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { pathOnly } from "../../helper/libc.js";
import { gateDirectory, gateFile, isNormalPath, openBelow, pathOf } from "../../helper/paths.js";
import { Refusal } from "../../helper/refusal.js";

const uid = process.getuid?.() ?? 0;

function home(t: { after: (done: () => void) => void }): { top: string; root: string } {
  const top = realpathSync(mkdtempSync(join(tmpdir(), "banger-paths-")));
  t.after(() => rmSync(top, { recursive: true, force: true }));
  const root = join(top, "state");
  mkdirSync(join(root, "vms/0a0b0c0d"), { recursive: true });
  writeFileSync(join(root, "vms/0a0b0c0d/work.raw"), "disk");
  writeFileSync(join(top, "secret"), "secret");
  return { top, root };
}

function text(fd: number): string {
  try {
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

const refusedBy = (rule: string) => (error: unknown) => error instanceof Refusal && error.rule === rule;
const open = (root: string, relative: string, flags = constants.O_RDONLY) => {
  closeSync(openBelow(root, relative, flags));
};

test("a file and a directory below the root are opened, and a file is made", (t) => {
  const { root } = home(t);
  assert.equal(text(openBelow(root, "vms/0a0b0c0d/work.raw", constants.O_RDONLY)), "disk");
  open(root, "vms", pathOnly | constants.O_DIRECTORY);
  open(root, "");
  const fd = openBelow(root, "vms/new", constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o640);
  assert.equal(gateFile(fd, "new", { uids: [uid], links: 1 }).mode & 0o777n, 0o640n);
  closeSync(fd);
  const handle = openBelow(root, "vms/0a0b0c0d/work.raw", pathOnly);
  assert.equal(readFileSync(pathOf(handle), "utf8"), "disk");
  closeSync(handle);
});

test("what is not there is the kernel's own error, with the path", (t) => {
  const { root } = home(t);
  assert.throws(() => openBelow(root, "vms/none", constants.O_RDONLY), {
    code: "ENOENT",
    path: `${root}/vms/none`,
  });
  assert.throws(() => openBelow(root, "vms/0a0b0c0d/work.raw/x", constants.O_RDONLY), { code: "ENOTDIR" });
  assert.throws(() => openBelow(`${root}/none`, "vms", constants.O_RDONLY), { code: "ENOENT" });
});

test("no path is taken that is not the one way to name its place", (t) => {
  const { root } = home(t);
  for (const relative of [
    "..",
    "vms/../..",
    "/etc/passwd",
    "./vms",
    "vms//x",
    "vms/",
    "a\0b",
    "a\nb",
    "a/./b",
  ])
    assert.throws(() => openBelow(root, relative, constants.O_RDONLY), refusedBy("normal-path"), relative);
  for (const top of ["", "/", "state", "/a/../b", "//a", "/a/", "/a\0"])
    assert.throws(() => openBelow(top, "vms", constants.O_RDONLY), refusedBy("normal-path"), top);
  assert.ok(isNormalPath("/var/lib/banger") && !isNormalPath(`/${"a/".repeat(3000)}a`));
});

test("a symlink at any component is refused, for a mere handle too", (t) => {
  const { top, root } = home(t);
  symlinkSync(join(top, "secret"), join(root, "vms/0a0b0c0d/root.cow"));
  symlinkSync("0a0b0c0d", join(root, "vms/1a0b0c0d"));
  symlinkSync(root, join(top, "elsewhere"));
  symlinkSync("/proc/self/fd", join(root, "magic"));
  const links: [string, string][] = [
    [root, "vms/0a0b0c0d/root.cow"],
    [root, "vms/1a0b0c0d/work.raw"],
    [root, "magic/0"],
    [join(top, "elsewhere"), "vms"],
    [join(top, "elsewhere/vms"), "0a0b0c0d"],
  ];
  for (const [from, relative] of links)
    for (const flags of [constants.O_RDONLY, constants.O_RDWR, pathOnly, pathOnly | constants.O_NOFOLLOW])
      assert.throws(() => open(from, relative, flags), refusedBy("no-symlink"), `${from} ${relative}`);
  const make = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC;
  assert.throws(() => open(root, "vms/0a0b0c0d/root.cow", make), refusedBy("no-symlink"));
  assert.equal(readFileSync(join(top, "secret"), "utf8"), "secret");
});

test("what is mounted below, or in place of the root itself, is refused", {
  skip: uid !== 0 && "needs root",
}, (t) => {
  const { top, root } = home(t);
  const script = join(import.meta.dirname, "paths-mounted-child.js");
  const mounts = `mount -t tmpfs none "$1/vms" && node "$2" "$1" vms && umount "$1/vms" &&
    mount -t tmpfs none "$1" && mkdir "$1/vms" && node "$2" "$1" vms`;
  const { stdout, stderr } = spawnSync("unshare", ["-m", "sh", "-ec", mounts, "sh", root, script], {
    encoding: "utf8",
    env: { ...process.env, PATH: `${process.execPath.replace(/\/node$/, "")}:${process.env["PATH"]}` },
  });
  assert.equal(stdout, "one-file-system\none-file-system\n", stderr);
  assert.equal(readFileSync(join(top, "secret"), "utf8"), "secret");
});

test("a FIFO does not keep the helper waiting, and is no file", (t) => {
  const { root } = home(t);
  assert.equal(spawnSync("mkfifo", [join(root, "fifo")]).status, 0);
  const fd = openBelow(root, "fifo", constants.O_RDONLY);
  assert.throws(() => gateFile(fd, "fifo", { uids: [uid] }), refusedBy("regular-file"));
  closeSync(fd);
});

test("a file is judged by its open descriptor: kind, owner and number of names", {
  skip: uid !== 0 && "needs root",
}, (t) => {
  const { root } = home(t);
  const path = join(root, "vms/0a0b0c0d/work.raw");
  const fd = openBelow(root, "vms/0a0b0c0d/work.raw", constants.O_RDONLY);
  assert.equal(gateFile(fd, "disk", { uids: [0], links: 1 }).size, 4n);
  linkSync(path, join(root, "second"));
  assert.throws(() => gateFile(fd, "disk", { uids: [0], links: 1 }), refusedBy("file-links"));
  gateFile(fd, "disk", { uids: [0], links: 2 });
  gateFile(fd, "disk", { uids: [0] });
  chownSync(path, 4321, 4321);
  assert.throws(() => gateFile(fd, "disk", { uids: [0, 1234] }), refusedBy("file-owner"));
  assert.throws(() => gateDirectory(fd, "disk", { uids: [4321] }), refusedBy("directory"));
  closeSync(fd);
  const directory = openBelow(root, "vms", pathOnly | constants.O_DIRECTORY);
  gateDirectory(directory, "vms", { uids: [0] });
  assert.throws(() => gateDirectory(directory, "vms", { uids: [4321] }), refusedBy("file-owner"));
  assert.throws(() => gateFile(directory, "vms", { uids: [0] }), refusedBy("regular-file"));
  closeSync(directory);
});

/** Swaps `vms` for a symlink to the outside and back, as fast as it can, until it is terminated. */
const swapper = `
  const { workerData } = require("node:worker_threads");
  const { renameSync } = require("node:fs");
  const { real, link, aside } = workerData;
  for (;;) {
    renameSync(real, aside); renameSync(link, real);
    renameSync(real, link); renameSync(aside, real);
  }`;

test("a symlink swapped in while files are opened never leads outside", async (t) => {
  const { top, root } = home(t);
  mkdirSync(join(top, "outside/0a0b0c0d"), { recursive: true });
  writeFileSync(join(top, "outside/0a0b0c0d/work.raw"), "secret");
  symlinkSync(join(top, "outside"), join(root, "link"));
  const places = { real: join(root, "vms"), link: join(root, "link"), aside: join(root, "aside") };
  const worker = new Worker(swapper, { eval: true, workerData: places });
  const seen = { disk: 0, refused: 0, naive: 0 };
  const enough = () => seen.disk > 200 && seen.refused > 20 && seen.naive > 20;
  for (let turn = 0; turn < 2_000_000 && !enough(); turn++) {
    if (turn % 100 === 0) await new Promise(setImmediate);
    try {
      assert.equal(text(openBelow(root, "vms/0a0b0c0d/work.raw", constants.O_RDONLY)), "disk");
      seen.disk++;
    } catch (error) {
      if (refusedBy("no-symlink")(error)) seen.refused++;
      else if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    // That the swap would have deceived a plain open shows that the test can fail.
    try {
      if (readFileSync(join(root, "vms/0a0b0c0d/work.raw"), "utf8") === "secret") seen.naive++;
    } catch {}
  }
  await worker.terminate();
  assert.ok(enough(), JSON.stringify(seen));
  assert.ok(readdirSync(root).length >= 2);
});

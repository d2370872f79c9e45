/** Removing a jail stays in the jail: no symlink, no mount and nothing swapped in leads it out. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { openDirectoryIn, removeTree } from "../../helper/jail/tree.js";
import { ensureNoJail } from "../../helper/methods/ensure-no-jail.js";
import { HostFailure, Refusal } from "../../helper/refusal.js";
import { mountsBelow, parseMounts } from "../../src/host/mounts.js";
import { owner } from "./device-place.js";
import { type JailPlace, jailPlace } from "./jail-place.js";
import { needsRoot, trustedPlace } from "./trusted-place.js";

const remove = ({ vmId, context }: JailPlace) => ensureNoJail({ vmId }, context);

/** A directory of somebody else's, beside the jails. */
function precious({ top }: Pick<JailPlace, "top">): string {
  mkdirSync(`${top}/precious/below`, { recursive: true });
  writeFileSync(`${top}/precious/file`, "precious");
  writeFileSync(`${top}/precious/below/file`, "precious");
  return `${top}/precious`;
}
const listing = (path: string) =>
  execFileSync("find", [path, "-printf", "%p %y %U %m %s\n"], { encoding: "utf8" });

test("mounts are found with all that mountinfo writes as digits, the deepest first", () => {
  const line = (path: string, type = "tmpfs") => `36 35 0:1 / ${path} rw shared:1 master:2 - ${type} none rw`;
  const text = ["/jail", "/jail/a", "/jail/a/b", "/jailed", "/jail/f", "/jail/f/x", "/jail/a\\040b\\012"]
    .map((path) => line(path, path === "/jail/f" ? "fuse.sshfs" : "tmpfs"))
    .join("\n");
  const mounts = mountsBelow("/jail", parseMounts(`${text}\n`));
  assert.deepEqual(
    mounts.map(({ path }) => path),
    ["/jail/a/b", "/jail/a", "/jail/f", "/jail/a b\n", "/jail"],
  );
});

describe("a jail", { skip: needsRoot }, () => {
  test("goes with all that is in it, and nothing that it leads to", async (t) => {
    const here = jailPlace(t);
    const { jailRoot, jail } = here.handles;
    const kept = precious(here);
    const before = listing(kept);
    mkdirSync(`${jailRoot}/dev/net`, { recursive: true });
    symlinkSync(kept, `${jailRoot}/to-directory`);
    symlinkSync("/", `${jailRoot}/dev/to-root`);
    symlinkSync(`${kept}/file`, `${jailRoot}/to-file`);
    execFileSync("mkfifo", [`${jailRoot}/fifo`]);
    execFileSync("mknod", [`${jailRoot}/dev/kvm`, "c", "10", "232"]);
    writeFileSync(Buffer.concat([Buffer.from(`${jailRoot}/`), Buffer.of(0xff, 0xfe, 0x0a)]), "no UTF-8");
    mkdirSync(Buffer.concat([Buffer.from(`${jailRoot}/`), Buffer.of(0xff, 0xfd)]));
    await remove(here);
    assert.ok(!existsSync(jail));
    assert.equal(listing(kept), before);
  });

  test("that is a symlink itself goes as one", async (t) => {
    const here = jailPlace(t);
    const kept = precious(here);
    const before = listing(kept);
    mkdirSync(`${here.top}/jails/firecracker`, { recursive: true });
    symlinkSync(kept, here.handles.jail);
    await remove(here);
    assert.ok(!existsSync(here.handles.jail));
    assert.equal(listing(kept), before);
  });

  for (const name of ["jails", "jails/firecracker"]) {
    test(`is not looked for behind a symlink at ${name}, nor where others than root can write`, async (t) => {
      const here = jailPlace(t);
      const kept = precious(here);
      mkdirSync(`${kept}/firecracker/banger-${here.vmId}`, { recursive: true });
      mkdirSync(`${kept}/banger-${here.vmId}`);
      const before = listing(kept);
      if (name !== "jails") mkdirSync(`${here.top}/jails`);
      symlinkSync(kept, `${here.top}/${name}`);
      const rule = (expected: string) => (error: unknown) =>
        error instanceof Refusal && error.rule === expected;
      await assert.rejects(remove(here), rule("no-symlink"));
      rmSync(`${here.top}/${name}`);
      mkdirSync(`${here.top}/${name}`);
      chownSync(`${here.top}/${name}`, owner.uid, owner.gid);
      mkdirSync(`${here.top}/jails/firecracker`, { recursive: true });
      await assert.rejects(remove(here), rule("root-owned"));
      assert.equal(listing(kept), before);
    });
  }

  test("is unmounted deepest first, and what was mounted there stays whole", (t) => {
    const here = jailPlace(t);
    const kept = precious(here);
    const before = listing(kept);
    const child = new URL("./jail-mounted-child.js", import.meta.url).pathname;
    const argv = ["--mount", "--propagation", "private", process.execPath, child, here.top, here.vmId, kept];
    assert.equal(execFileSync("unshare", argv, { encoding: "utf8" }), "0 mounts left\n");
    assert.ok(!existsSync(here.handles.jail));
    assert.equal(listing(kept), before);
  });

  test("of which a mount cannot be seen is not removed across it", (t) => {
    const here = jailPlace(t);
    const kept = precious(here);
    const before = listing(kept);
    const child = new URL("./jail-mounted-child.js", import.meta.url).pathname;
    const argv = [
      "--mount",
      "--propagation",
      "private",
      process.execPath,
      child,
      here.top,
      here.vmId,
      kept,
      "tree",
    ];
    assert.equal(execFileSync("unshare", argv, { encoding: "utf8" }), "tree_mounted\n");
    assert.equal(listing(kept), before);
  });

  test("too deep to be anything of banger's is left", async (t) => {
    const here = jailPlace(t);
    mkdirSync(`${here.handles.jailRoot}${"/d".repeat(40)}`, { recursive: true });
    await assert.rejects(remove(here), (error) => error instanceof HostFailure && error.code === "tree_deep");
  });
});

/** Puts a symlink to `kept` in the place of a directory with files, and the directory back, until it is told to stop. */
const swapper = `
  const { mkdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } = require("node:fs");
  const { parentPort, workerData: { at, kept, stop } } = require("node:worker_threads");
  const quietly = (work) => { try { work(); } catch {} };
  symlinkSync(kept, at + "-link");
  parentPort.postMessage("begun");
  while (Atomics.load(stop, 0) === 0) {
    quietly(() => mkdirSync(at + "/below", { recursive: true }));
    quietly(() => writeFileSync(at + "/below/file", ""));
    quietly(() => renameSync(at, at + "-real"));
    quietly(() => symlinkSync(kept, at));
    quietly(() => unlinkSync(at));
    quietly(() => renameSync(at + "-real", at));
  }
`;

test("a directory is never opened through a symlink", { skip: needsRoot }, (t) => {
  const top = trustedPlace(t);
  symlinkSync(precious({ top }), `${top}/link`);
  const dir = openSync(top, "r");
  assert.throws(() => openDirectoryIn(dir, Buffer.from("link")), { code: "ENOTDIR" });
  closeSync(openDirectoryIn(dir, Buffer.from("precious")));
  closeSync(dir);
});

test("a symlink swapped in while a tree is removed leads nowhere", { skip: needsRoot }, async (t) => {
  const top = trustedPlace(t);
  const kept = precious({ top });
  const before = listing(kept);
  mkdirSync(`${top}/tree`);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(swapper, { eval: true, workerData: { at: `${top}/swap`, kept, stop } });
  const ended = new Promise((resolve) => worker.once("exit", resolve));
  await new Promise((resolve) => worker.once("message", resolve));
  const dir = openSync(top, "r");
  const { signal } = new AbortController();
  let removed = 0;
  for (let round = 0; round < 1000; round++) {
    await removeTree(dir, Buffer.from("swap"), signal).then(
      () => removed++,
      (error) => assert.ok(error instanceof HostFailure && error.code === "tree_busy", String(error)),
    );
  }
  Atomics.store(stop, 0, 1);
  await ended;
  closeSync(dir);
  assert.ok(removed > 0);
  assert.equal(listing(kept), before);
  assert.equal(readFileSync(`${kept}/below/file`, "utf8"), "precious");
});

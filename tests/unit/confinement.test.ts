/** What a QEMU may open, wherever it lies: what it needs, and never the directory of a user. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { after, test } from "node:test";
import { confinementOf } from "../../src/host/confinement.js";
import { findProgram } from "../../src/host/find-program.js";

const root = mkdtempSync(`${tmpdir()}/banger-confined-`);
after(() => rmSync(root, { recursive: true }));

function program(path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "");
  chmodSync(path, 0o755);
  return path;
}

const reads = (path: string, uid = 1000) =>
  confinementOf({ program: path, read: [], write: [], uid }).read.filter((each) => each.startsWith(root));

test("a program in a home is opened itself, with what is installed beside it, but not the home", () => {
  const home = `${root}/home`;
  assert.deepEqual(reads(program(`${home}/qemu`)), [
    `${home}/qemu`,
    `${home}/pc-bios`,
    `${home}/qemu-bundle`,
  ]);
  const local = reads(program(`${home}/.local/bin/qemu`));
  assert.ok(local.includes(`${home}/.local/lib`) && local.includes(`${home}/.local/share/qemu`));
  for (const each of [home, `${home}/.local`, `${home}/.local/share`, `${home}/.local/bin`])
    assert.ok(!local.includes(each), each);
});

test("a link is followed to the prefix that it leads to", () => {
  const target = program(`${root}/store/qemu-9/bin/qemu-system-x86_64`);
  mkdirSync(`${root}/profile/bin`, { recursive: true });
  const link = `${root}/profile/bin/my-qemu`;
  symlinkSync(target, link);
  const places = reads(link);
  for (const each of [link, target, `${root}/store/qemu-9/share/qemu`, `${root}/store/qemu-9/lib`])
    assert.ok(places.includes(each), each);
});

test("an image's files are read where they are linked from", () => {
  mkdirSync(`${root}/image`);
  const rootfs = program(`${root}/elsewhere/rootfs.raw`);
  symlinkSync(rootfs, `${root}/image/rootfs.ext4`);
  const paths = [`${root}/image`, `${root}/image/rootfs.ext4`];
  const { read } = confinementOf({ program: "/usr/bin/qemu", read: paths, write: [], uid: 1000 });
  assert.ok(read.includes(rootfs));
});

test("root's /etc is opened by name, and nobody's home or root at all", () => {
  const places = (uid: number) => confinementOf({ program: "/usr/bin/qemu", read: [], write: ["/v"], uid });
  assert.ok(places(1000).read.includes("/etc"));
  const { read, write } = places(0);
  assert.ok(!read.includes("/etc") && read.includes("/etc/resolv.conf"));
  for (const each of ["/", "/home", "/root", "/var", "/run", "/tmp", "/proc", "/sys", "/dev"])
    assert.ok(!read.includes(each) && !write.includes(each), each);
});

test("a program is found as a shell finds it, and in the sbin directories", () => {
  const path = program(`${root}/path/bin/tool`);
  writeFileSync(`${root}/path/tool`, "not executable");
  mkdirSync(`${root}/path/directory/tool`, { recursive: true });
  const search = `${root}/path::relative:${root}/path/directory:${root}/path/bin:/usr/bin`;
  assert.equal(findProgram("tool", search), path);
  assert.equal(findProgram(path, ""), path);
  assert.equal(findProgram(`${root}/path/tool`, search), null);
  assert.equal(findProgram("tool-that-is-nowhere", search), null);
});

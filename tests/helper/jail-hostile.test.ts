/** What a daemon in somebody else's hands could put where the helper takes the parts of a jail from. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { describe, test } from "node:test";
import { startVmm } from "../../helper/methods/start-vmm.js";
import { imageHandles } from "../../src/home/handles.js";
import { imageId, owner } from "./device-place.js";

import { doubledPlace, initrd, type JailPlace, needsJail, processesOf } from "./jail-place.js";

const start = ({ params, context }: JailPlace) => startVmm(params, context);
const image = ({ context }: JailPlace) => imageHandles(context.metadata.home, imageId);

const hostile: Record<string, { rule: string; set(place: JailPlace): void }> = {
  "there is no Firecracker": {
    rule: "vmm_missing",
    set: ({ context }) => (context.metadata.firecracker = null),
  },
  "there is no jailer": { rule: "vmm_missing", set: ({ context }) => (context.metadata.jailer = null) },
  "Firecracker has another name": {
    rule: "vmm_missing",
    set: ({ context }) => (context.metadata.firecracker = "/usr/bin/true"),
  },
  "others may write to jailer": {
    rule: "root-writable",
    set: ({ top }) => chmodSync(`${top}/bin/jailer`, 0o777),
  },
  "Firecracker is the owner's": {
    rule: "root-owned",
    set: ({ top }) => chownSync(`${top}/bin/firecracker`, owner.uid, owner.gid),
  },
  "the work disk is a symlink": {
    rule: "no-symlink",
    set: ({ handles, secret }) => {
      rmSync(handles.workDisk);
      symlinkSync(secret, handles.workDisk);
    },
  },
  "the work disk is another name of root's file": {
    rule: "file-owner",
    set: ({ handles, secret }) => {
      rmSync(handles.workDisk);
      linkSync(secret, handles.workDisk);
    },
  },
  "the root disk has two names": {
    rule: "file-links",
    set: ({ handles }) => linkSync(handles.rootFile, `${handles.rootFile}.2`),
  },
  "the seed is a FIFO": {
    rule: "regular-file",
    set: ({ handles }) => {
      rmSync(handles.seed);
      execFileSync("mkfifo", [handles.seed]);
    },
  },
  "the kernel is another's": { rule: "file-owner", set: (here) => chownSync(image(here).kernel, 777, 777) },
  "the image is elsewhere": {
    rule: "no-symlink",
    set: (here) => {
      renameSync(image(here).directory, `${here.top}/elsewhere`);
      symlinkSync(`${here.top}/elsewhere`, image(here).directory);
    },
  },
  "there is no initrd": { rule: "ENOENT", set: (here) => rmSync(`${image(here).directory}/${initrd}`) },
  "the console's log is a symlink": {
    rule: "no-symlink",
    set: ({ handles, secret }) => symlinkSync(secret, handles.consoleLog),
  },
  "the console's log is another name of root's file": {
    rule: "file-owner",
    set: ({ handles, secret }) => linkSync(secret, handles.consoleLog),
  },
  "the VMM's log leads to a file that is not there": {
    rule: "no-symlink",
    set: ({ handles, top }) => symlinkSync(`${top}/made`, handles.vmmLog),
  },
  "the directory of the jails is the owner's": {
    rule: "root-owned",
    set: ({ top }) => {
      mkdirSync(`${top}/jails`);
      chownSync(`${top}/jails`, owner.uid, owner.gid);
    },
  },
  "the directory of the jails is a symlink": {
    rule: "no-symlink",
    set: ({ top }) => {
      mkdirSync(`${top}/other`);
      symlinkSync(`${top}/other`, `${top}/jails`);
    },
  },
};

/** Everything but the logs, which may have been begun. */
const picture = ({ top }: JailPlace): string =>
  execFileSync("find", [top, "!", "-name", "*.log", "-printf", "%p %y %U %G %m %n %s %l\n"], {
    encoding: "utf8",
  })
    .replace(/^(.*\/vms\/[0-9a-f]{8}) .*$/m, "$1")
    .split("\n")
    .sort()
    .join("\n");

describe("no VMM is started, and nothing changes, when", { skip: needsJail }, () => {
  for (const [name, { rule, set }] of Object.entries(hostile)) {
    test(name, async (t) => {
      const here = doubledPlace(t);
      set(here);
      const before = picture(here);
      const text = readFileSync(here.secret, "utf8");
      await assert.rejects(start(here), (error) => {
        const { code, rule: found } = error as { code?: string; rule?: string };
        assert.equal(found ?? code, rule, String(error));
        return true;
      });
      assert.equal(picture(here), before);
      assert.equal(readFileSync(here.secret, "utf8"), text);
      assert.deepEqual(processesOf(here.handles), []);
    });
  }
});

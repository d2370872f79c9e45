/** A VMM that does not start: each cause has a name, and nothing is left running. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { VmmControls } from "../../src/effects/vmm/controls.js";
import { vmmDriver } from "../../src/effects/vmm/driver.js";
import { qemuVmm } from "../../src/effects/vmm/qemu/qemu.js";
import type { EnsureProcess } from "../../src/effects/vmm/vmm.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { toolEnvironment } from "../../src/host/run-tool.js";
import { systemClock } from "../../src/lib/clock.js";
import { publicNet } from "../../src/model/net-policy.js";

const root = mkdtempSync(`${tmpdir()}/banger-start-`);
const home: Home = { state: `${root}/s`, data: "", cache: "", config: "", runtime: `${root}/r` };
const id = "0123abcd";
const handles = vmHandles(home, id);
const effect: EnsureProcess = {
  kind: "ensureProcess",
  vmId: id,
  imageId: "debian-slim-00000000",
  name: "calm-otter",
  spec: { vcpu: 1, memoryMiB: 64, diskMiB: 64, net: publicNet },
  address: "127.1.0.1",
};

/** Starts `file` as the VMM, by a driver of its own. */
async function start(file: string): Promise<void> {
  for (const directory of [handles.directory, handles.runtime]) mkdirSync(directory, { recursive: true });
  const controls = new VmmControls(systemClock, () => {});
  const qemu = qemuVmm({
    home,
    clock: systemClock,
    environment: toolEnvironment("/usr/bin:/bin"),
    launch: async () => ({
      file,
      argv: ["-name", `guest=${handles.guestName}`],
      offline: true,
      read: [],
      write: [handles.directory, handles.runtime],
    }),
  });
  const askGuest = () => Promise.reject(new Error("no guest"));
  const driver = vmmDriver({ home, controls, vmms: [qemu], starts: qemu, askGuest });
  try {
    await driver.ensureProcess(effect, new AbortController().signal);
  } finally {
    controls.close();
  }
}

/** A program in place of QEMU. */
function script(name: string, body: string): string {
  writeFileSync(`${root}/${name}`, `#!/bin/sh\n${body}\n`);
  chmodSync(`${root}/${name}`, 0o755);
  return `${root}/${name}`;
}

describe("ensureProcess", () => {
  let keepAlive: NodeJS.Timeout;
  // A VMM outlives its daemon, so waiting for one does not keep this process alive.
  before(() => {
    keepAlive = setInterval(() => {}, 1_000);
  });
  after(() => {
    clearInterval(keepAlive);
    rmSync(root, { recursive: true });
  });

  test("a program that is not installed", async () => {
    await assert.rejects(start("qemu-system-none"), {
      code: "qemu_missing",
      message: /not in the daemon's PATH \(\/usr\/bin:/,
      hint: /^apt-get install -y qemu.*banger daemon stop/,
    });
    await assert.rejects(start(`${root}/qemu-none`), { code: "qemu_missing" });
  });

  test("a program that may not be executed", async () => {
    const file = script("forbidden", "exit 0");
    chmodSync(file, 0o644);
    await assert.rejects(start(file), { code: "vmm_failed", message: /forbidden: Permission denied/ });
  });

  test("a program that ends at once is told with its last words, which vmm.log keeps", async () => {
    for (const path of [handles.consoleLog, handles.vmmLog]) writeFileSync(path, "of an earlier start\n");
    const file = script("unhappy", "echo first >&2; echo 'machine type unknown' >&2; exit 3");
    await assert.rejects(start(file), {
      code: "vmm_failed",
      message: /\(status 3\): first; machine type unknown$/,
      retry: "later",
    });
    assert.match(
      readFileSync(handles.vmmLog, "utf8"),
      /guest=banger-0123abcd\nfirst\nmachine type unknown\n$/,
    );
    for (const path of [handles.consoleLog, handles.vmmLog])
      assert.doesNotMatch(readFileSync(path, "utf8"), /earlier/);
  });

  test("in its place a program reads its own VM's files, and neither its user's keys nor another VM's", async () => {
    const secret = `${root}/home/.ssh/id`;
    const other = `${vmHandles(home, "deadbeef").directory}/seed.tar`;
    for (const path of [secret, other]) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, "secret");
    }
    writeFileSync(handles.seed, "of its own");
    const said = `cat ${secret}; cat ${other}; cat ${handles.seed} >&2; exit 1`;
    await assert.rejects(start(script("curious", said)), {
      message: /id: Permission denied; cat: \S+seed\.tar: Permission denied; of its own$/,
    });
  });

  test("a cause that QEMU names gets that name", async () => {
    const file = script("locked", "echo 'qemu: Failed to get \"write\" lock' >&2; exit 1");
    await assert.rejects(start(file), { code: "disk_in_use" });
  });

  test("a program that is killed", async () => {
    await assert.rejects(start(script("killed", "kill -KILL $$")), { message: /killed by SIGKILL/ });
  });
});

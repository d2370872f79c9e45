/** What a VM takes of its host: a real process's time and memory, and the room that holes do not take. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { statsLine, statsTitles } from "../../src/cli/render/stats.js";
import { usageOf } from "../../src/effects/vmm/usage.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { identify } from "../../src/host/processes.js";

const id = "0a1b2c3d";

test("time and memory are those of exactly this process, disks count without their holes", (t) => {
  const state = mkdtempSync(join(tmpdir(), "banger-usage-"));
  t.after(() => rmSync(state, { recursive: true }));
  const home = { state, runtime: state } as Home;
  const { directory, rootDisk, workDisk } = vmHandles(home, id);
  const disks = { root: rootDisk, rootBytes: (4 << 20) + 1, work: workDisk };
  const nothing = { cpuMs: null, rssBytes: null, rootBytes: 0, rootMiB: 4, diskBytes: 0 };
  assert.deepEqual(usageOf(disks, { is: "absent" }), nothing);
  mkdirSync(directory, { recursive: true });
  writeFileSync(rootDisk, Buffer.alloc(1 << 20, 1));
  writeFileSync(workDisk, "");
  truncateSync(workDisk, 1 << 30);
  const me = identify(process.pid);
  assert.ok(me.is === "present");
  const { cpuMs, rssBytes, rootBytes, rootMiB, diskBytes } = usageOf(disks, me);
  const used = process.cpuUsage();
  assert.ok(cpuMs !== null && cpuMs <= (used.user + used.system) / 1000 + 20, `${cpuMs} ms`);
  assert.ok(rssBytes !== null && rssBytes > 10 << 20, `${rssBytes} bytes`);
  assert.ok(rootBytes >= 1 << 20 && rootBytes < 2 << 20, `${rootBytes} bytes`);
  assert.deepEqual([rootMiB, diskBytes], [4, 0]);
  assert.equal(usageOf(disks, { ...me, startTime: "1" }).cpuMs, null);
});

test("a line for people", () => {
  const stats = {
    at: "2026-01-01T00:00:00.000Z",
    phase: "running",
    cpuMs: 5000,
    vcpu: 2,
    rssBytes: 300 << 20,
    memoryMiB: 4096,
    rootBytes: 257 << 20,
    rootMiB: 4096,
    diskBytes: 1 << 30,
    diskMiB: 8192,
  };
  const titles = "NAME     CPU  MEMORY        /             /root         STATE\n";
  const line = "box     125%  300M of 4G    257M of 4G    1G of 8G      running\n";
  assert.deepEqual([statsTitles(5), statsLine("box", 5, stats, 1.25)], [titles, line]);
  const stopped = statsLine("brief", 5, { ...stats, rssBytes: null, phase: "stopped" }, null);
  assert.match(stopped, /^brief {6}–  – of 4G .* stopped\n$/);
});

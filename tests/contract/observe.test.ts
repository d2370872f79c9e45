/** An observation must not act: a look at a real home, empty or with what VMs leave, changes nothing of it. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { vmHandles } from "../../src/home/handles.js";
import { makeBench, userMode } from "./local-bench.js";

/** Every file below, with all that a change of it shows. */
const filesOf = (top: string) =>
  readdirSync(top, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const { size, mtimeMs, ctimeMs, ino, mode } = statSync(`${top}/${name}`);
      return [name, size, mtimeMs, ctimeMs, ino, mode];
    });

test("looks at a home leave it as it was, and open nothing in it", async (t) => {
  const top = mkdtempSync(`${tmpdir()}/banger-look-`);
  const [state, data, cache, config, runtime] = ["state", "data", "cache", "config", "run"].map(
    (name) => `${top}/${name}`,
  ) as [string, string, string, string, string];
  const home = { state, data, cache, config, runtime };
  const bench = await makeBench(userMode(), home);
  t.after(() => bench.close());
  for (const found of [false, true]) {
    const { directory, workDisk, runtime: sockets } = vmHandles(home, "0a0a0a0a");
    if (found) {
      for (const path of [directory, sockets]) mkdirSync(path, { recursive: true });
      writeFileSync(workDisk, "written");
      bench.abandonBuild(bench.readyImage);
    }
    const [before, open] = [filesOf(top), readdirSync("/proc/self/fd").length];
    for (let time = 1; time <= 3; time++) {
      const { vms } = await bench.world.observe();
      assert.equal(vms.has("0a0a0a0a"), found);
    }
    // What a look had put off would have its turn among these.
    for (let turn = 0; turn < 100; turn++) await stat(top);
    assert.deepEqual(filesOf(top), before);
    assert.equal(readdirSync("/proc/self/fd").length, open);
  }
});

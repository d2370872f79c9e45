/** What VMs may have of memory where a control group, or one above it, has less than the machine. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { memoryLimit } from "../../src/host/memory-limit.js";

const giB = 2 ** 30;
const ram = 24 * giB;

/** A kernel that shows these files. */
function limitWith(files: Record<string, string>): number {
  const top = mkdtempSync(join(tmpdir(), "banger-cgroup-"));
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(top, path)), { recursive: true });
      writeFileSync(join(top, path), `${content}\n`);
    }
    return memoryLimit({ proc: join(top, "proc"), sys: join(top, "sys") }, ram);
  } finally {
    rmSync(top, { recursive: true });
  }
}

test("the tightest limit counts, in the process's own group or above it, by either kind of control group", () => {
  assert.equal(limitWith({}), ram);
  assert.equal(limitWith({ "proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/memory.max": "max" }), ram);
  const above = { "sys/fs/cgroup/a/memory.max": `${4 * giB}`, "sys/fs/cgroup/a/b/memory.max": "max" };
  assert.equal(limitWith({ "proc/self/cgroup": "0::/a/b", ...above }), 4 * giB);
  assert.equal(limitWith({ "proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": `${2 * giB}` }), 2 * giB);
  const first = "sys/fs/cgroup/memory";
  assert.equal(
    limitWith({
      "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/job/step",
      [`${first}/memory.limit_in_bytes`]: "9223372036854771712",
      [`${first}/job/memory.limit_in_bytes`]: `${3 * giB}`,
      [`${first}/job/step/memory.limit_in_bytes`]: "9223372036854771712",
    }),
    3 * giB,
  );
});

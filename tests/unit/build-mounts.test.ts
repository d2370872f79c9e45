/** What builds mount is never left on the host, and nothing that is mounted is removed with a directory. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";

const child = new URL("./build-mounts-child.js", import.meta.url).pathname;
const namespaces = ["--user", "--map-root-user", "--mount", "--propagation", "private"];
const skip = spawnSync("unshare", [...namespaces, "true"]).status !== 0 && "this host has no user namespaces";

/** Runs a scenario of the child's and gives what it says, and `top`, where it ran. */
function run(t: TestContext, scenario: string): Record<string, unknown> & { top: string } {
  const top = mkdtempSync(join(tmpdir(), "banger mounts-"));
  t.after(() => rmSync(top, { recursive: true }));
  mkdirSync(`${top}/precious`);
  writeFileSync(`${top}/precious/file`, "precious");
  const argv = [...namespaces, process.execPath, child, scenario, top];
  return { top, ...JSON.parse(execFileSync("unshare", argv, { encoding: "utf8", timeout: 60_000 })) };
}

test("a build as root shows the host none of its mounts, and leaves none when all of it is killed", {
  skip,
}, (t) => {
  const { during, after, gone, kept } = run(t, "killed");
  assert.deepEqual({ during, after, gone, kept }, { during: 0, after: 0, gone: true, kept: "precious" });
});

test("mounts that an earlier build has left are taken away, and what is mounted stays whole", {
  skip,
}, (t) => {
  const { before, after, gone, kept } = run(t, "leftover");
  assert.deepEqual({ before, after, gone, kept }, { before: 3, after: 0, gone: true, kept: "precious" });
});

test("a directory with a mount in it is not removed, and the hint helps; a link goes as one", {
  skip,
}, (t) => {
  const { top, code, message, gone, linkGone, kept } = run(t, "refused");
  assert.equal(code, "mounted_below");
  assert.equal(message, `${top}/victim was not removed: ${top}/victim/in/it is mounted in it`);
  assert.deepEqual({ gone, linkGone, kept }, { gone: true, linkGone: true, kept: "precious" });
});

/** VMMs of a deleted home, with real processes in their place. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { endUnreachable } from "../../src/effects/vmm/unreachable.js";
import { identify } from "../../src/host/processes.js";
import type { ProcessIdentity } from "../../src/model/model.js";

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** A process that sits in a directory of its own. */
async function sitting(): Promise<{ identity: ProcessIdentity; directory: string; ended: Promise<unknown> }> {
  const directory = mkdtempSync(join(tmpdir(), "banger-gone-"));
  const child = spawn("sleep", ["1000"], { cwd: directory, stdio: "ignore" });
  children.push(child);
  await new Promise((resolve) => child.once("spawn", resolve));
  const seen = identify(child.pid as number);
  assert.equal(seen.is, "present");
  const ended = new Promise((resolve) => child.once("exit", (_code, signal) => resolve(signal)));
  return { identity: seen as ProcessIdentity, directory, ended };
}

test("of a deleted home's processes those are ended that sit in it, and no other that has such a pid", async () => {
  const [lost, kept] = [await sitting(), await sitting()];
  const other = { ...lost.identity, startTime: `${lost.identity.startTime}1` };
  assert.equal(endUnreachable([lost.identity, kept.identity]), 0);
  rmSync(lost.directory, { recursive: true });
  assert.equal(endUnreachable([other]), 0);
  assert.equal(endUnreachable([lost.identity, kept.identity]), 1);
  assert.equal(await lost.ended, "SIGKILL");
  assert.equal(identify(kept.identity.pid).is, "present");
  rmSync(kept.directory, { recursive: true });
});

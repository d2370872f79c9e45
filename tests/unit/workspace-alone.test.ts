/** Prepares of one place in a guest at once: one does it, the others are told, and a killed one is in nobody's way. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { alone } from "../../src/workspace/alone.js";
import type { Guest } from "../../src/workspace/guest.js";
import { localGuest } from "../doubles/local-guest.js";
import { assertSame, withBench } from "../doubles/repositories.js";

let root: string;
let place: { guestPath: string; unpacked: string };
let lock: string;
let guest: Guest;
beforeEach(() => {
  root = mkdtempSync("/tmp/banger-alone-");
  place = { guestPath: join(root, "deep/repo"), unpacked: join(root, "deep/.repo") };
  lock = `${place.unpacked}.lock`;
  guest = localGuest(root);
});
afterEach(() => rmSync(root, { recursive: true }));

const isThere = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;
const busy = { code: "workspace_busy", retry: "later", message: /deep\/repo is being prepared/ };

test("of several at once one works, and when it has ended, or failed, the next one can", async (t) => {
  let end: () => void = () => {};
  t.after(() => end());
  const first = alone(guest, place, () => new Promise<void>((resolve) => (end = resolve)));
  while (!isThere(lock)) await new Promise(setImmediate);
  for (let more = 0; more < 3; more++)
    await assert.rejects(
      alone(guest, place, async () => more),
      busy,
    );
  const elsewhere = { guestPath: "x", unpacked: join(root, "other") };
  assert.equal(await alone(guest, elsewhere, async () => "another place"), "another place");
  end();
  await first;
  assert.equal(isThere(lock), false);
  await assert.rejects(
    alone(guest, place, () => Promise.reject(new Error("broke off"))),
    /broke off/,
  );
  assert.equal(await alone(guest, place, async () => 1), 1);
});

test("one that was killed, or whose number another process has by now, holds nothing", async () => {
  mkdirSync(join(root, "deep"));
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  await once(child, "spawn");
  const gone = ["999999999-5", "1-", `${child.pid}-1`, "nonsense", ""];
  for (const owner of gone) {
    symlinkSync(owner === "" ? "-" : owner, lock);
    let holder = "";
    await alone(guest, place, async () => void (holder = readlinkSync(lock)));
    assert.match(holder, /^\d+-\d+$/, owner);
    assert.equal(isThere(lock), false);
  }
  child.kill("SIGKILL");
  await once(child, "exit");
});

test("a place that cannot be held is told by the guest's own words", async () => {
  rmSync(join(root, "deep"), { recursive: true, force: true });
  symlinkSync("/dev/null", join(root, "deep"));
  await assert.rejects(
    alone(guest, place, async () => 1),
    { code: "guest_failed" },
  );
  assert.ok(!existsSync(lock));
});

test("two prepares of one checkout: whichever is refused, what is there is whole", () =>
  withBench(async (bench) => {
    for (let file = 0; file < 50; file++) bench.write(`file-${file}`, "content\n".repeat(1000));
    bench.commit();
    const both = await Promise.allSettled([bench.prepare(), bench.prepare()]);
    const failed = both.flatMap((each) =>
      each.status === "rejected" ? [each.reason as { code: string }] : [],
    );
    assert.ok(
      failed.length <= 1 && failed.every(({ code }) => code === "workspace_busy"),
      JSON.stringify(failed),
    );
    assertSame(bench);
    await bench.prepare();
    assertSame(bench);
  }));

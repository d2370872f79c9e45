/** Guests that stand still, under a real QEMU whose machine only writes: seen, told apart, and let go on. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { vmHandles } from "../../src/home/handles.js";
import type { ObservedVm, SeenPause } from "../../src/model/model.js";
import { Actor } from "./actor.js";
import { makeBench, userMode } from "./local-bench.js";

/** Processes of others, whom a user namespace may not look at, are none of its business. */
const namespaces = ["-rm", "--pid", "--fork", "--mount-proc"];
const id = "0c0c0c0c";
const disk = "small";

/** A boot sector that writes on and on, 64 sectors each time: int 13h, function 43h. */
const writer = Buffer.concat([
  Buffer.from("31c08ed8b280b443b000be207ccd13668306287c40ebed", "hex"),
  Buffer.alloc(9),
  Buffer.from("10004000007c00000100000000000000", "hex"),
  Buffer.alloc(462),
  Buffer.from("55aa", "hex"),
]);

/** The world's QEMU, but with a machine that boots from `small/disk`; runs in a mount namespace of its own. */
async function observePauses(root: string): Promise<unknown> {
  const place = `${root}/${disk}`;
  mkdirSync(place);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", place]);
  const state = `${place}/in/s`;
  const home = { state, data: `${root}/d`, cache: `${root}/c`, config: `${root}/e`, runtime: `${root}/r` };
  for (const path of [state, `${root}/r`]) mkdirSync(path, { recursive: true });
  const bench = await makeBench(userMode(), home, ({ guestName, qmpSocket, workDisk }) => [
    ...[
      "-M",
      "pc",
      "-accel",
      "tcg",
      "-m",
      "8",
      "-nodefaults",
      "-display",
      "none",
      "-name",
      `guest=${guestName}`,
    ],
    ...["-qmp", `unix:${qmpSocket},server=on,wait=off`, "-netdev", "user,id=net0"],
    ...["-drive", `if=ide,format=raw,file=${workDisk},werror=enospc`],
  ]);
  const actor = new Actor(bench);
  const shown: unknown[] = [];
  const paused = async (cause: string | undefined) => {
    const seen = await actor.seeWhen(
      id,
      ({ process }) => process.is === "present" && is(process.pause, cause),
    );
    shown.push(seen.process.is === "present" && (seen.process.pause ?? "runs"));
  };
  try {
    await actor.disk(id, 64);
    const { workDisk } = vmHandles(home, id);
    writeFileSync(workDisk, writer);
    truncateSync(workDisk, 64 << 20);
    const process = await actor.process(id, bench.address(1));
    await paused("host_disk_full");
    execFileSync("mount", ["-o", "remount,size=80m", place]);
    for (let time = 1; time <= 2; time++) await actor.perform({ kind: "ensureRunning", vmId: id });
    await paused(undefined);
    await bench.restart();
    await paused(undefined);
    spawnSync("kill", ["-STOP", `${process.pid}`]);
    // The signal is on its way when kill returns, and nothing of a VMM tells that it has arrived.
    while (!/\) T /.test(readFileSync(`/proc/${process.pid}/stat`, "utf8"))) await setTimeout(10);
    const frozen = await actor.see(id);
    shown.push(frozen.process.is === "present" && frozen.process.pause);
    spawnSync("kill", ["-CONT", `${process.pid}`]);
    await paused(undefined);
  } finally {
    await bench.close();
  }
  return shown;
}

function is(pause: SeenPause | undefined, cause: string | undefined): boolean {
  return typeof pause === "object" ? pause.cause === cause : pause === cause;
}

const root = process.argv[2] === "in-namespace" ? process.argv[3] : undefined;
if (root !== undefined) {
  console.log(JSON.stringify(await observePauses(root)));
} else {
  const mayMount = spawnSync("unshare", [...namespaces, "true"]).status === 0;
  test("a full disk, a signal and a guest that runs are told apart", {
    skip: mayMount ? false : "no user namespaces here",
  }, () => {
    const scratch = mkdtempSync(`${tmpdir()}/banger-paused-`);
    const argv = [...namespaces, process.execPath, fileURLToPath(import.meta.url), "in-namespace", scratch];
    try {
      const shown = JSON.parse(execFileSync("unshare", argv).toString()) as Partial<ObservedVm>[];
      const full = { cause: "host_disk_full", freeMiB: 0 };
      assert.deepEqual(shown, [full, "runs", "runs", { cause: "frozen" }, "runs"]);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
}

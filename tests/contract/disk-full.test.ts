/** A host that cannot take what is written: ensureDisk names the cause, loses nothing and succeeds once it can. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { vmDisks } from "../../src/effects/disk/disks.js";
import { overlayRoot } from "../../src/effects/disk/overlay.js";
import { sshKeys } from "../../src/effects/seed/ssh-keys.js";
import { type Home, imageHandles, vmHandles } from "../../src/home/handles.js";
import { toolRunner } from "../../src/host/run-tool.js";
import { systemClock } from "../../src/lib/clock.js";
import { BangerError } from "../../src/lib/errors.js";

const id = "0123abcd";
const imageId = "ready-00000001";

/** A home below `root` with an image of holes in it; its state is at `state`. */
function makeHome(root: string, state: string): Home {
  const home: Home = { state, data: `${root}/d`, cache: "", config: "", runtime: `${root}/r` };
  const { directory, rootfs } = imageHandles(home, imageId);
  mkdirSync(directory, { recursive: true });
  writeFileSync(rootfs, "");
  truncateSync(rootfs, 1 << 30);
  return home;
}

/** Code of the error that ensureDisk ends with, or "made". */
async function outcome(home: Home): Promise<string> {
  const runTool = toolRunner(process.env["PATH"] ?? "");
  const keys = sshKeys(home, runTool, null);
  const userFiles = async () => ({ files: [], skipped: [] });
  const workSeeds = async () => null;
  const tools = { runTool, workSeeds, keys, userFiles, clock: systemClock };
  const effect = {
    kind: "ensureDisk",
    vmId: id,
    imageId,
    name: "calm-otter",
    diskMiB: 256,
    rootMiB: 0,
  } as const;
  try {
    await vmDisks(home, tools, overlayRoot("qemu-img")).ensure(effect, {
      signal: AbortSignal.timeout(60_000),
      note: () => {},
    });
    return "made";
  } catch (error) {
    return error instanceof BangerError ? `${error.code}, ${error.hint}` : String(error);
  }
}

/** Runs in a mount namespace of its own: a disk of 64 KiB, which later grows. */
async function onSmallDisk(root: string): Promise<void> {
  const home = makeHome(root, `${root}/s`);
  mkdirSync(home.state);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", home.state]);
  const full = await outcome(home);
  const left = readdirSync(vmHandles(home, id).directory).filter((name) =>
    /^(root|work)\.[a-z0-9]+$/.test(name),
  );
  execFileSync("mount", ["-o", "remount,size=32m", home.state]);
  console.log(JSON.stringify({ full, left, then: await outcome(home) }));
}

const smallDisk = process.argv[2] === "on-small-disk" ? process.argv[3] : undefined;
if (smallDisk !== undefined) {
  await onSmallDisk(smallDisk);
} else {
  const mayMount = spawnSync("unshare", ["-rm", "true"]).status === 0;

  test("a full disk", { skip: mayMount ? false : "no user namespaces here" }, () => {
    const root = mkdtempSync(`${tmpdir()}/banger-full-`);
    const argv = ["-rm", process.execPath, fileURLToPath(import.meta.url), "on-small-disk", root];
    const answer = JSON.parse(execFileSync("unshare", argv).toString()) as Record<string, unknown>;
    rmSync(root, { recursive: true });
    assert.match(String(answer["full"]), /^disk_full, df -h /);
    assert.deepEqual(answer["left"], [], "nothing half-written has a final name");
    assert.equal(answer["then"], "made");
  });

  test("a home that cannot be written", async () => {
    const root = mkdtempSync(`${tmpdir()}/banger-unwritable-`);
    writeFileSync(`${root}/file`, "");
    const said = await outcome(makeHome(root, `${root}/file/s`));
    rmSync(root, { recursive: true });
    assert.match(said, /^home_unwritable, ls -ld /);
  });
}

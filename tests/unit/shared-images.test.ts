/** Two homes that share their images: neither ends the other's builds nor deletes what the other's VMs are made from. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type Home, imageHandles, imageUses, vmHandles } from "../../src/home/handles.js";
import { placeFrom } from "../../src/host/home.js";
import { identify, isAlive } from "../../src/host/processes.js";
import { ProxyBook } from "../../src/host/proxies.js";
import { imageMaker } from "../../src/images/builder/build.js";
import type { CatalogIds } from "../../src/images/manifest.js";
import { registryAccess } from "../../src/images/registry-access.js";
import { imageStore } from "../../src/images/store.js";
import { forgetUse, noteUse, refuseUsed } from "../../src/images/use.js";
import { systemClock } from "../../src/lib/clock.js";
import { until } from "../e2e/harness.js";

const id = "shared-0123abcd";
let top: string;
let builder: ChildProcess | undefined;

beforeEach(() => {
  top = mkdtempSync("/tmp/banger-shared-");
});
afterEach(() => {
  builder?.kill("SIGKILL");
  rmSync(top, { recursive: true, force: true });
});

/** A home of its own, but for its images. */
const homeCalled = (name: string): Home => {
  const places = { XDG_STATE_HOME: join(top, name, "state"), XDG_RUNTIME_DIR: join(top, name) };
  return placeFrom({ HOME: join(top, name), XDG_DATA_HOME: join(top, "data"), ...places }, 1000).home;
};

const makerOf = (home: Home, catalog: CatalogIds = new Map()) => {
  const searchPath = process.env["PATH"] ?? "";
  const registry = registryAccess(home, [], {}, searchPath);
  const options = { home, clock: { ...systemClock, after }, mirror: null, searchPath, registry };
  return imageMaker({ ...options, proxies: new ProxyBook({}), catalog, builderSocket: null });
};
/** Unlike the daemon, a test has nothing else that keeps its process alive. */
const after = (ms: number, call: () => void) => {
  const timer = setTimeout(call, ms);
  return { cancel: () => clearTimeout(timer) };
};

function whole(directory: string): void {
  const names = ["rootfs.ext4", "vmlinux", "modules.cpio"];
  for (const name of names) writeFileSync(join(directory, name), "x");
  const files = Object.fromEntries(names.map((name) => [name, { bytes: 1 }]));
  const manifest = { schema: 1, name: "shared", kernelRelease: "6", bootArguments: "", sizeBytes: 3, files };
  writeFileSync(join(directory, "manifest.json"), JSON.stringify(manifest));
}

/** A builder of this home's, at work in the image's partial directory. */
async function building(home: Home) {
  const { partial } = imageHandles(home, id);
  mkdirSync(partial, { recursive: true });
  builder = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
  await once(builder, "spawn");
  const seen = identify(builder.pid as number) as { pid: number; startTime: string };
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const { pid, startTime } = seen;
  writeFileSync(join(partial, "builder.json"), JSON.stringify({ pid, startTime, bootId, state: home.state }));
  return seen;
}

test("a build of another home is waited for, and what it makes is the image of both", async () => {
  const [first, second] = [homeCalled("first"), homeCalled("second")];
  const process = await building(first);
  const { partial, directory } = imageHandles(second, id);
  const maker = makerOf(second);
  assert.deepEqual(maker.lookAtPartial(id), { building: true, elsewhere: true });
  assert.deepEqual(makerOf(first).lookAtPartial(id), { building: true, elsewhere: false });
  await maker.removePartial(id);
  assert.ok(isAlive(process) && existsSync(partial), "what is no part of this home's stays");
  const stages: string[] = [];
  const source = { kind: "catalog" } as const;
  const wanted = { kind: "ensureImage", imageId: id, name: "shared", source } as const;
  const signal = new AbortController().signal;
  const built = maker.build(wanted, { signal, stage: ({ stage }) => void stages.push(stage) });
  await until("it waits", () => stages.length > 0);
  whole(partial);
  renameSync(partial, directory);
  builder?.kill("SIGKILL");
  await built;
  assert.deepEqual(stages, ["wait"]);
  assert.equal(maker.inspect(id).is, "present");
});

test("a build of another home whose builder is gone is nobody's", async () => {
  const [first, second] = [homeCalled("first"), homeCalled("second")];
  await building(first);
  builder?.kill("SIGKILL");
  await once(builder as ChildProcess, "exit");
  const maker = makerOf(second);
  assert.deepEqual(maker.lookAtPartial(id), { building: false, elsewhere: false });
  await maker.removePartial(id);
  assert.ok(!existsSync(imageHandles(second, id).partial));
});

test("an image stays while a VM of another home is made from it, and goes when that VM is gone", async () => {
  const [first, second] = [homeCalled("first"), homeCalled("second")];
  const { directory } = imageHandles(first, id);
  mkdirSync(directory, { recursive: true });
  whole(directory);
  const vm = "0000000a";
  for (const home of [first, second]) {
    mkdirSync(vmHandles(home, vm).directory, { recursive: true });
    for (let twice = 0; twice < 2; twice++) await noteUse(home, id, vm);
  }
  assert.equal(readdirSync(imageUses(first, id)).length, 2, "VMs of one id in two homes are two");
  const refused = { code: "image_in_use", hint: `XDG_STATE_HOME=${join(top, "first/state")} banger vm list` };
  const store = imageStore(second, makerOf(second));
  await assert.rejects(store.ensureNone(id), refused);
  assert.equal(makerOf(second).inspect(id).is, "present");
  await forgetUse(second, vm);
  await assert.rejects(store.ensureNone(id), refused);
  // A home that went with all its VMs, or a daemon that died before it could say so.
  rmSync(join(top, "first"), { recursive: true });
  refuseUsed(second, id);
  await store.ensureNone(id);
  assert.ok(!existsSync(directory));
});

test("a home's own VMs are its own concern, and a place that nobody may write needs no links", async () => {
  const home = homeCalled("first");
  mkdirSync(imageHandles(home, id).directory, { recursive: true });
  mkdirSync(vmHandles(home, "0000000a").directory, { recursive: true });
  await noteUse(home, id, "0000000a");
  refuseUsed(home, id);
  await noteUse(home, "none-0123abcd", "0000000a");
});

/** Drivers of system mode on what they can reach without root: root disks as files, the bridge's calls, the look's words. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { MethodName } from "../../helper/contract.js";
import { chooseVmm } from "../../src/daemon/vmms.js";
import type { DiskTools } from "../../src/effects/disk/disks.js";
import { copiedRoot, snapshotRoot } from "../../src/effects/disk/snapshot.js";
import type { HelperCalls } from "../../src/effects/helper/calls.js";
import { runtimeOf, sightOf } from "../../src/effects/helper/look.js";
import { Bridge } from "../../src/effects/net/bridge.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { toolRunner } from "../../src/host/run-tool.js";
import { BangerError } from "../../src/lib/errors.js";
import { ManualClock } from "../manual-clock.js";

const signal = new AbortController().signal;
const present = { is: "present" } as const;
const absent = { is: "absent" } as const;

describe("root disks", () => {
  const tools = { runTool: toolRunner(process.env["PATH"] ?? "") } as DiskTools;

  function place(t: TestContext) {
    const state = mkdtempSync(join(tmpdir(), "banger-root-"));
    t.after(() => rmSync(state, { recursive: true }));
    const handles = vmHandles({ state, runtime: state } as Home, "0a1b2c3d");
    mkdirSync(handles.directory, { recursive: true });
    const rootfs = join(state, "rootfs.ext4");
    writeFileSync(rootfs, Buffer.alloc(1 << 20, 7));
    truncateSync(rootfs, 256 << 20);
    return { handles, rootfs };
  }

  test("a snapshot begins as holes with room for every block of the image, and is made once", async (t) => {
    const { handles, rootfs } = place(t);
    await snapshotRoot.make(handles, { rootfs, rootMiB: 0 }, tools, signal);
    const made = statSync(handles.rootCow);
    // Of 4 KiB chunks each takes 16 bytes of metadata, in chunks of their own.
    const chunks = (256 << 20) / 4096;
    assert.ok(made.size >= (chunks + Math.ceil(chunks / 256) + 2) * 4096, `${made.size} bytes`);
    assert.deepEqual([made.blocks, made.mode & 0o777], [0, 0o600]);
    writeFileSync(handles.rootCow, "written");
    await snapshotRoot.make(handles, { rootfs, rootMiB: 0 }, tools, signal);
    assert.equal(readFileSync(handles.rootCow, "utf8"), "written");
  });

  test("a copy has the image's content, none of its holes, and is made once", async (t) => {
    const { handles, rootfs } = place(t);
    await copiedRoot.make(handles, { rootfs, rootMiB: 0 }, tools, signal);
    const made = statSync(handles.rootFile);
    assert.ok(readFileSync(handles.rootFile).equals(readFileSync(rootfs)));
    assert.ok(made.blocks * 512 < 4 << 20, `${made.blocks} blocks`);
    assert.equal(made.mode & 0o777, 0o600);
    writeFileSync(handles.rootFile, "written");
    await copiedRoot.make(handles, { rootfs, rootMiB: 0 }, tools, signal);
    assert.equal(readFileSync(handles.rootFile, "utf8"), "written");
  });

  test("an image that only points at its files is refused with the command that takes them in", async (t) => {
    const { handles, rootfs } = place(t);
    const link = `${rootfs}-link`;
    symlinkSync(rootfs, link);
    for (const form of [snapshotRoot, copiedRoot]) {
      await assert.rejects(form.make(handles, { rootfs: link, rootMiB: 0 }, tools, signal), {
        code: "image_unmanaged",
        hint: /^banger image promote /,
      });
      assert.equal(existsSync(form.path(handles)), false);
    }
  });

  test("no empty disk of one form takes the place of a written one of the other", async (t) => {
    const { handles, rootfs } = place(t);
    writeFileSync(handles.rootFile, "written");
    await assert.rejects(snapshotRoot.make(handles, { rootfs, rootMiB: 0 }, tools, signal), {
      code: "root_disk_form",
    });
    rmSync(handles.rootFile);
    writeFileSync(handles.rootCow, "written");
    await assert.rejects(copiedRoot.make(handles, { rootfs, rootMiB: 0 }, tools, signal), {
      code: "root_disk_form",
    });
  });
});

describe("the bridge", () => {
  /** What was called, in order; `fail` says what fails. */
  function scripted(fail: (method: MethodName) => boolean = () => false) {
    const calls: string[] = [];
    const helper: HelperCalls = {
      async call(method, params) {
        calls.push([method, ...Object.values(params)].join(" "));
        if (fail(method)) throw new BangerError("helper_unreachable", "no helper", { retry: "later" });
        return {} as never;
      },
    };
    const clock = new ManualClock();
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    const bridge = new Bridge({ helper, clock, tapPoolSize: 3, warn });
    return { bridge, calls, clock, warnings };
  }
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

  test("is made before the first tap, with pool and names, and looked after once", async () => {
    const { bridge, calls } = scripted();
    await bridge.ensureTap("0a0a0a0a", "172.16.0.2", signal);
    await settle();
    assert.deepEqual(calls.splice(0), ["ensureBridge", "ensureTap 0a0a0a0a 172.16.0.2", "ensureTapPool 3"]);
    bridge.serveNames(42069);
    await settle();
    assert.deepEqual(calls.splice(0), ["ensureTapPool 3", "ensureResolver 42069"]);
    bridge.note(true);
    await bridge.ensureNat("0a0a0a0a", "172.16.0.2", signal);
    await settle();
    assert.deepEqual(calls.splice(0), ["ensureNat 0a0a0a0a 172.16.0.2"]);
    bridge.note(false);
    await settle();
    assert.deepEqual(calls, ["ensureBridge", "ensureTapPool 3", "ensureResolver 42069"]);
  });

  test("that cannot be made fails who needs it, and is not tried at every look", async () => {
    const { bridge, calls, clock, warnings } = scripted((method) => method === "ensureBridge");
    bridge.note(false);
    await settle();
    bridge.note(false);
    await settle();
    assert.deepEqual([calls.splice(0), warnings], [["ensureBridge"], ["the bridge is not maintained"]]);
    await assert.rejects(bridge.ensureTap("0a0a0a0a", "172.16.0.2", signal), { code: "helper_unreachable" });
    await clock.advance(10_000);
    bridge.note(false);
    await settle();
    assert.deepEqual(calls, ["ensureBridge", "ensureBridge"]);
  });

  test("is left alone by a daemon that has let go", async () => {
    const { bridge, calls } = scripted();
    await bridge.close();
    bridge.note(false);
    await settle();
    assert.deepEqual(calls, []);
  });
});

describe("a look", () => {
  const nothing = { ids: [] };
  const empty = {
    ...{ bridge: true, taps: nothing, strayTaps: nothing, nats: nothing },
    ...{ rootDevices: nothing, strayDevices: nothing, jails: nothing },
  };
  const [a, b, c] = ["0a0a0a0a", "0b0b0b0b", "0c0c0c0c"] as const;

  test("tells wholes from parts, and names every VM of which there is either", () => {
    const sight = sightOf({ ...empty, taps: { ids: [a] }, strayTaps: { ids: [b] }, jails: { ids: [c] } });
    assert.deepEqual([...sight.ids], [a, b, c]);
    assert.deepEqual(sight.of(a), {
      tap: { ...present, whole: true },
      ...{ nat: absent, rootDevice: absent, jail: absent },
    });
    assert.deepEqual(sight.of(b).tap, { ...present, whole: false });
    assert.deepEqual([sight.of(c).jail, sight.unlisted.tap, sight.bridge], [present, absent, present]);
  });

  test("of a kind that could not be seen tells nothing of any VM, and of the rest all the same", () => {
    const unknown = { is: "unknown", cause: "no nft" } as const;
    const sight = sightOf({ ...empty, taps: { unknown: "no nft" }, nats: { ids: [a] } });
    assert.deepEqual([sight.of(a).tap, sight.unlisted.tap, sight.of(a).nat], [unknown, unknown, present]);
    const strays = sightOf({ ...empty, rootDevices: { ids: [a] }, strayDevices: { unknown: "no nft" } });
    assert.deepEqual(strays.of(a).rootDevice, { ...present, whole: true });
    assert.deepEqual(strays.of(b).rootDevice, unknown);
    const blind = sightOf({ unknown: "no nft" });
    assert.deepEqual([blind.bridge, ...Object.values(blind.of(a))], Array(5).fill(unknown));
    assert.deepEqual(Object.values(sightOf(undefined).of(a)), Array(4).fill(absent));
  });

  test("a jail is a part of where sockets are", () => {
    const unknown = { is: "unknown", cause: "?" } as const;
    assert.deepEqual(runtimeOf(present, unknown), { ...present, whole: true });
    assert.deepEqual(runtimeOf(absent, present), { ...present, whole: false });
    assert.deepEqual(runtimeOf(unknown, present), { ...present, whole: false });
    assert.deepEqual([runtimeOf(unknown, absent), runtimeOf(absent, unknown)], [unknown, unknown]);
    assert.deepEqual(runtimeOf(absent, absent), absent);
  });
});

test("auto takes Firecracker where all that it needs is usable; who says otherwise gets that", () => {
  const said = { version: "1", deviceMapper: true, firewall: null, resolver: true, problem: null };
  const about = (firecracker: string | null) => ({ ...said, firecracker });
  const all = { kvm: true, about: about("Firecracker v1.16.1"), firecracker: "/f" };
  const none = { kvm: false, about: about(null), firecracker: null };
  const chosen = (wanted: string, facts?: typeof all | typeof none) => chooseVmm(wanted, facts).kind;
  assert.equal(chosen("auto", all), "firecracker");
  assert.equal(chosen("auto", { ...all, kvm: false }), "qemu");
  assert.equal(chosen("auto", { ...all, about: about(null) }), "qemu");
  assert.equal(chosen("auto", { ...all, about: about("Firecracker v0.1.0") }), "qemu");
  assert.equal(chooseVmm("auto", { ...all, about: undefined }).kind, "firecracker", "as it was installed");
  assert.equal(chooseVmm("auto", { ...none, about: undefined }).kind, "qemu");
  assert.equal(chosen("qemu", all), "qemu");
  assert.equal(chosen("firecracker", none), "firecracker");
});

test("user mode has QEMU, and who wants Firecracker there is told where it runs", () => {
  assert.deepEqual(
    ["auto", "qemu"].map((wanted) => chooseVmm(wanted, undefined).kind),
    ["qemu", "qemu"],
  );
  assert.throws(() => chooseVmm("firecracker", undefined), {
    code: "vmm_unusable",
    message: "Firecracker runs VMs in system mode only",
    hint: 'sudo banger system install, or set vmm = "auto" in config.toml',
  });
});

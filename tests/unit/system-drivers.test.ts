/** Drivers of system mode on what they can reach without root: root disks as files, the look's words. */
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
import { chooseVmm } from "../../src/daemon/vmms.js";
import type { DiskTools } from "../../src/effects/disk/disks.js";
import { copiedRoot, snapshotRoot } from "../../src/effects/disk/snapshot.js";
import { runtimeOf, sightOf } from "../../src/effects/helper/look.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { toolRunner } from "../../src/host/run-tool.js";
import { openKey } from "../../src/model/fits.js";
import type { Seen } from "../../src/model/model.js";

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

describe("a look", () => {
  const nothing = { ids: [] };
  const empty = {
    ...{ bridge: true, tapPool: { size: 3 }, resolver: { port: 42069 } },
    ...{ taps: nothing, strayTaps: nothing, nats: nothing },
    ...{ rootDevices: nothing, strayDevices: nothing, jails: nothing },
  };
  const [a, b, c] = ["0a0a0a0a", "0b0b0b0b", "0c0c0c0c"] as const;

  test("tells wholes from parts, and names every VM of which there is either", () => {
    const sight = sightOf({ ...empty, taps: { ids: [a] }, strayTaps: { ids: [b] }, jails: { ids: [c] } });
    assert.deepEqual([...sight.ids], [a, b, c]);
    assert.deepEqual(sight.of(a), {
      network: { ...present, whole: true },
      ...{ bridge: present, policy: absent, rootDevice: absent, jail: absent },
    });
    assert.deepEqual(sight.of(b).network, { ...present, whole: false });
    assert.deepEqual([sight.of(c).jail, sight.unlisted.network], [present, absent]);
  });

  test("of a kind that could not be seen tells nothing of any VM, and of the rest all the same", () => {
    const unknown = { is: "unknown", cause: "no nft" } as const;
    const open = { ...present, key: openKey, fresh: true };
    const sight = sightOf({ ...empty, taps: { unknown: "no nft" }, nats: { ids: [a] } });
    assert.deepEqual(
      [sight.of(a).network, sight.unlisted.network, sight.of(a).policy],
      [unknown, unknown, open],
    );
    const strays = sightOf({ ...empty, rootDevices: { ids: [a] }, strayDevices: { unknown: "no nft" } });
    assert.deepEqual(strays.of(a).rootDevice, { ...present, whole: true });
    assert.deepEqual(strays.of(b).rootDevice, unknown);
    const blind = sightOf({ unknown: "no nft" });
    const all = (sight: typeof blind) => [sight.network, sight.of(a)].flatMap<Seen>(Object.values);
    assert.deepEqual(all(blind), Array(8).fill(unknown));
    assert.deepEqual(all(sightOf(undefined)), Array(8).fill(absent));
  });

  test("tells of what all VMs share what is there, what is not, and what cannot be told", () => {
    const unknown = { is: "unknown", cause: "?" } as const;
    assert.deepEqual(sightOf(empty).network, {
      bridge: present,
      tapPool: { ...present, size: 3 },
      resolver: { ...present, port: 42069 },
    });
    const { network, unlisted } = sightOf({ ...empty, bridge: false, resolver: { port: null } });
    assert.deepEqual([network.bridge, unlisted.bridge], [absent, absent]);
    assert.deepEqual(network.resolver, { ...present, port: null });
    assert.deepEqual(sightOf({ ...empty, resolver: null }).network.resolver, absent);
    const blind = sightOf({ ...empty, bridge: { unknown: "?" }, tapPool: { unknown: "?" } });
    assert.deepEqual(
      [blind.network.bridge, blind.network.tapPool, blind.of(a).bridge],
      Array(3).fill(unknown),
    );
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

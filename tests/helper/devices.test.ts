/** Root devices over real loop devices; where the device-mapper would be asked, a double named so answers. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { describe, test } from "node:test";
import { ensureDevice, ensureNoDevice } from "../../helper/devices/ensure.js";
import { attachLoop, boundLoops, clearLoop } from "../../helper/devices/loop.js";
import { parseTable } from "../../helper/devices/mapper.js";
import { lookAtDevices } from "../../helper/look-devices.js";
import { HostFailure, Refusal } from "../../helper/refusal.js";
import { type DevicePlace, devicePlace, imageId, owner, ownFile } from "./device-place.js";
import { needsLoops } from "./dmsetup-double.js";

const ensure = ({ vmId, context, double }: DevicePlace, id = imageId) =>
  ensureDevice(vmId, id, context, double.host);
const ensureNo = ({ vmId, context, double }: DevicePlace) => ensureNoDevice(vmId, context, double.host);

/** What a look says of this test's VM. */
async function seen({ context, double, vmId }: DevicePlace): Promise<"whole" | "stray" | "none"> {
  const { rootDevices, strayDevices } = await lookAtDevices(context, double.host);
  assert.ok("ids" in rootDevices && "ids" in strayDevices);
  if (rootDevices.ids.includes(vmId)) return "whole";
  return strayDevices.ids.includes(vmId) ? "stray" : "none";
}

const refusedBy = (rule: string) => (error: unknown) => error instanceof Refusal && error.rule === rule;
const failedWith = (code: string) => (error: unknown) => error instanceof HostFailure && error.code === code;

test("a table is read as a snapshot over loops only when it is just that", () => {
  assert.deepEqual(parseTable("0 128 snapshot 7:3 7:4 P 8").snapshot, { origin: 3, cow: 4 });
  for (const table of [
    "",
    "0 128 linear 8:1 0",
    "0 128 snapshot 8:1 7:4 P 8",
    "0 128 snapshot 7:3 7:4 N 8",
    "0 128 snapshot 7:3 7:4 P 8\n128 8 linear 8:1 0",
  ])
    assert.equal(parseTable(table).snapshot, undefined, table);
});

describe("a root device", { skip: needsLoops }, () => {
  test("is a snapshot over a read-only and a writable loop, given to the owner; twice is once", async (t) => {
    const place = devicePlace(t);
    assert.equal(await seen(place), "none");
    await ensure(place);
    await ensure(place);
    const loops = place.loops();
    assert.deepEqual(loops.map(({ readOnly }) => readOnly).sort(), [false, true]);
    const [cow, origin] = [false, true].map((each) => loops.find(({ readOnly }) => readOnly === each));
    assert.equal(origin?.inode, statSync(place.rootfs, { bigint: true }).ino);
    assert.equal(cow?.inode, statSync(place.cow, { bigint: true }).ino);
    const create = `create ${place.deviceName} --table 0 128 snapshot 7:${origin?.number} 7:${cow?.number} P 8`;
    assert.deepEqual(
      place.double.asked.filter((asked) => asked.startsWith("create")),
      [create],
    );
    const node = statSync(`${place.double.host.dev}/mapper/${place.deviceName}`);
    assert.deepEqual([node.uid, node.gid], [owner.uid, owner.gid]);
    assert.equal(await seen(place), "whole");
  });

  test("goes without a trace, and its going twice is success", async (t) => {
    const place = devicePlace(t);
    await ensure(place);
    const before = readFileSync(place.rootfs);
    await ensureNo(place);
    await ensureNo(place);
    assert.equal(await seen(place), "none");
    assert.deepEqual(place.loops(), []);
    assert.deepEqual(readFileSync(place.rootfs), before);
  });

  test("covers the whole sectors of an image whose size is no multiple of one", async (t) => {
    const place = devicePlace(t, 65_536 + 700);
    await ensure(place);
    assert.match(place.double.tables.get(place.deviceName) ?? "", /^0 129 snapshot /);
  });

  test("of an image without a sector is not made", async (t) => {
    const place = devicePlace(t, 511);
    await assert.rejects(ensure(place), failedWith("disk_empty"));
    assert.deepEqual(place.loops(), []);
  });

  test("leaves no loop behind when the device-mapper refuses", async (t) => {
    const place = devicePlace(t);
    let during = 0;
    place.double.onCreate = () => {
      during = place.loops().length;
      throw new Error("no such target");
    };
    await assert.rejects(ensure(place), /no such target/);
    assert.equal(during, 2);
    assert.deepEqual(place.loops(), []);
    assert.equal(await seen(place), "none");
  });

  test("goes again when it cannot be given to the owner", async (t) => {
    const place = devicePlace(t);
    place.double.makesNodes = false;
    await assert.rejects(ensure(place), /ENOENT/);
    assert.deepEqual([...place.double.tables], []);
    assert.deepEqual(place.loops(), []);
  });

  test("of which the kernel says that the node is another's is not given away", async (t) => {
    const place = devicePlace(t);
    place.double.onCreate = (name, table) => {
      place.double.addDevice(`crypt-${name}`, table);
      place.double.tables.set(name, table);
      const [from, to] = [`crypt-${name}`, name].map((each) => `${place.double.host.dev}/mapper/${each}`);
      execFileSync("ln", ["-s", from ?? "", to ?? ""]);
    };
    await assert.rejects(ensure(place), failedWith("device_node"));
    assert.equal(statSync(`${place.double.host.dev}/mapper/crypt-${place.deviceName}`).uid, 0);
  });

  test("that somebody has open stays whole, and is removed when it is free", async (t) => {
    const place = devicePlace(t);
    await ensure(place);
    place.double.busy.add(place.deviceName);
    await assert.rejects(ensureNo(place), failedWith("device_busy"));
    assert.equal(await seen(place), "whole");
    place.double.busy.clear();
    await ensureNo(place);
    assert.equal(await seen(place), "none");
  });

  /** As the kernel writes it: "SnAp", valid, version, sectors of a chunk. */
  const storeOf = (magic: number, valid: number, version: number, chunk: number) =>
    Buffer.concat([Buffer.from(Uint32Array.of(magic, valid, version, chunk).buffer), Buffer.alloc(65_520)]);
  const snap = 0x70416e53;

  test("is made over what the kernel keeps there, and over nothing that says otherwise", async (t) => {
    const place = devicePlace(t);
    const wrong = [
      ...[storeOf(0x53ef, 1, 1, 8), storeOf(snap, 1, 2, 8), storeOf(snap, 1, 1, 1 << 20)],
      ...[storeOf(snap, 1, 1, 0), storeOf(snap, 7, 1, 8)],
    ];
    for (const store of wrong) {
      ownFile(place.cow, store);
      await assert.rejects(ensure(place), refusedBy("store-header"));
    }
    ownFile(place.cow, storeOf(snap, 0, 1, 8));
    await assert.rejects(ensure(place), failedWith("root_lost"));
    assert.deepEqual(
      place.double.asked.filter((asked) => asked.startsWith("create")),
      [],
    );
    assert.deepEqual(place.loops(), []);
    ownFile(place.cow, storeOf(snap, 1, 1, 8));
    await ensure(place);
    assert.equal(await seen(place), "whole");
  });

  test("of one image does not become one of another", async (t) => {
    const place = devicePlace(t);
    await ensure(place);
    execFileSync("cp", [
      "-a",
      `${place.top}/data/images/${imageId}`,
      `${place.top}/data/images/other-12ab34cd`,
    ]);
    await assert.rejects(ensure(place, "other-12ab34cd"), refusedBy("other-image"));
    assert.equal(await seen(place), "whole");
  });
});

describe("after a crash of the helper", { skip: needsLoops }, () => {
  test("between loops and device nothing is left", async (t) => {
    const place = devicePlace(t);
    const child = spawn(process.execPath, [
      new URL("./devices-child.js", import.meta.url).pathname,
      place.cow,
      place.deviceName,
    ]);
    const [word] = (await once(child.stdout, "data")) as [Buffer];
    assert.equal(word.toString(), "attached\n");
    assert.equal(place.loops().length, 1);
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.deepEqual(place.loops(), []);
  });

  test("between device and owner the next look finds it stray, and the next ensure makes it whole", async (t) => {
    const place = devicePlace(t);
    await ensure(place);
    execFileSync("chown", ["0:0", `${place.double.host.dev}/mapper/${place.deviceName}`]);
    assert.equal(await seen(place), "stray");
    await ensure(place);
    assert.equal(await seen(place), "whole");
  });

  test("a device that was never given a table is stray, and replaced", async (t) => {
    const place = devicePlace(t);
    place.double.addDevice(place.deviceName, "");
    assert.equal(await seen(place), "stray");
    await ensure(place);
    assert.equal(await seen(place), "whole");
  });

  test("loops without a device are stray, and go with either method", async (t) => {
    const place = devicePlace(t);
    for (const work of [ensureNo, ensure]) {
      const file = openSync(place.cow, "r+");
      const { fd } = attachLoop(file, place.deviceName, "write");
      assert.equal(await seen(place), "stray");
      const working = work(place);
      closeSync(fd);
      await working;
      closeSync(file);
      assert.notEqual(await seen(place), "stray");
    }
    assert.equal(await seen(place), "whole");
  });
});

describe("what the helper did not make", { skip: needsLoops }, () => {
  const losetup = (...argv: string[]) => execFileSync("losetup", argv, { encoding: "utf8" }).trim();

  test("a loop over the very same file is neither used nor cleared", async (t) => {
    const place = devicePlace(t);
    const device = losetup("--find", "--show", place.cow);
    t.after(() => losetup("--detach", device));
    await assert.rejects(ensure(place), refusedBy("foreign-loop"));
    await ensureNo(place);
    assert.ok(boundLoops().some(({ number }) => `/dev/loop${number}` === device));
    assert.deepEqual(place.loops(), []);
  });

  test("a device of one of banger's names over foreign loops is not removed", async (t) => {
    const place = devicePlace(t);
    ownFile(`${place.top}/foreign`, Buffer.alloc(8192));
    const device = losetup("--find", "--show", `${place.top}/foreign`);
    t.after(() => losetup("--detach", device));
    const number = device.replace("/dev/loop", "");
    place.double.addDevice(place.deviceName, `0 16 snapshot 7:${number} 7:${number} P 8`);
    assert.equal(await seen(place), "stray");
    for (const work of [ensure, ensureNo]) await assert.rejects(work(place), refusedBy("foreign-device"));
    assert.ok(place.double.tables.has(place.deviceName));
    assert.ok(!place.double.asked.some((asked) => asked.startsWith("remove")));
  });

  test("a loop that was banger's and has become another's is left alone", async (t) => {
    const place = devicePlace(t);
    const file = openSync(place.cow, "r+");
    const { fd, number } = attachLoop(file, place.deviceName, "write");
    const [before] = place.loops();
    closeSync(fd);
    closeSync(file);
    assert.ok(before !== undefined);
    ownFile(`${place.top}/foreign`, Buffer.alloc(8192));
    losetup(`/dev/loop${number}`, `${place.top}/foreign`);
    t.after(() => losetup("--detach", `/dev/loop${number}`));
    assert.equal(await clearLoop(before), true);
    assert.ok(boundLoops().some((loop) => loop.number === number));
  });
});

test("a kernel without device-mapper has no root devices, and that is known", {
  skip: needsLoops,
}, async (t) => {
  const place = devicePlace(t);
  ownFile(`${place.double.host.proc}/misc`, "237 loop-control\n");
  assert.equal(await seen(place), "none");
  assert.deepEqual(place.double.asked, []);
});

test("a device-mapper that cannot be asked leaves everything unknown", { skip: needsLoops }, async (t) => {
  const { context, double } = devicePlace(t);
  const run = () => Promise.reject(new Error("dmsetup: no"));
  const look = await lookAtDevices({ ...context, run }, double.host);
  assert.deepEqual(look.rootDevices, { unknown: "dmsetup: no" });
  assert.deepEqual(look.strayDevices, { unknown: "dmsetup: no" });
});

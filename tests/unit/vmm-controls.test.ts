/** Which process of a VM is followed: one at a time, the newest, by whoever knows most of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { VmmControls } from "../../src/effects/vmm/controls.js";
import type { Attached, Hooks, Vmm } from "../../src/effects/vmm/vmm.js";
import { ManualClock } from "../manual-clock.js";

const id = "0123abcd";
const [first, second] = [10, 11].map((pid) => ({ pid, startTime: `${pid}` })) as [Identity, Identity];
type Identity = Attached["identity"];

function scripted() {
  const attached: { identity: Identity; hooks: Hooks; closed: boolean }[] = [];
  const changes: boolean[] = [];
  const follow = (identity: Identity, hooks: Hooks): Attached => {
    const each = { identity, hooks, closed: false };
    attached.push(each);
    return {
      identity,
      guest: "runs",
      close: () => void (each.closed = true),
    } as Partial<Attached> as Attached;
  };
  const vmm = {
    kind: "scripted",
    attach: (_, identity, hooks) => follow(identity, hooks),
  } as Partial<Vmm> as Vmm;
  const controls = new VmmControls(new ManualClock(), () => changes.push(controls.isHeld(id)));
  return { attached, changes, follow, vmm, controls };
}

test("a process that is followed stays so, and another one of the VM takes its place", () => {
  const { attached, changes, vmm, controls } = scripted();
  const same = controls.attach(id, { vmm, ...first });
  controls.follow(new Map([[id, { vmm, ...first }]]));
  assert.equal(controls.require(id), same);
  assert.deepEqual([attached.length, changes], [1, []]);
  controls.follow(new Map([[id, { vmm, ...second }]]));
  assert.deepEqual(
    attached.map(({ identity, closed }) => [identity, closed]),
    [
      [first, true],
      [second, false],
    ],
  );
  assert.deepEqual(changes, [false], "what hung on the first one is let go between them");
});

test("who started a process follows it instead of a look that came first; the end is told by the newest alone", () => {
  const { attached, follow, vmm, controls } = scripted();
  controls.attach(id, { vmm, ...first });
  const held = controls.hold(id, vmm, (hooks) => follow(first, hooks));
  assert.equal(controls.require(id), held);
  const [looked, started] = attached;
  assert.deepEqual([looked?.closed, started?.closed], [true, false]);
  looked?.hooks.ended({ reason: "lost", detail: "of whom nobody asks" });
  assert.ok(controls.isHeld(id));
  started?.hooks.ended({ reason: "guest", detail: "with its status" });
  assert.deepEqual(controls.exit(id), { reason: "guest", detail: "with its status" });
  assert.throws(() => controls.require(id), { code: "vm_not_running" });
});

test("who has let go takes hold of nothing that a look finds", () => {
  const { attached, vmm, controls } = scripted();
  controls.attach(id, { vmm, ...first });
  controls.close();
  controls.follow(new Map([[id, { vmm, ...second }]]));
  assert.deepEqual(
    attached.map(({ closed }) => closed),
    [true],
  );
});

/** Effects proved on the simulated host: whatever a VM finds there, the passes end, and nothing is left over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorBody } from "../../src/errors.js";
import type { NewEvent } from "../../src/events.js";
import type { Effect, State, Vm } from "../../src/model.js";
import { deedFacts, failureFacts, planFor } from "../../src/plan.js";
import { fold, initialState } from "../../src/projection.js";
import { imageId, position, reachableVms, stored, vmId } from "../fixtures.js";
import { SimHost, type SimProcess, type SimVm } from "./host.js";
import { seeded } from "./random.js";
import { LifeClock, Time } from "./time.js";
import { SimWorld } from "./world.js";

const passes = 10;
const passMs = 60_000;
const stream = `vm/${vmId}`;

type Found = Partial<Omit<SimVm, "process">> & { guest?: SimProcess["guest"] };

/** Each kind of host that a VM can find: every stage of its making and unmaking, and what others did to it. */
function* hosts(): IterableIterator<Found> {
  const disks: Found[] = [
    {},
    { directory: true, rootDisk: true },
    { directory: true, rootDisk: true, workDisk: true, workMiB: 1024, seed: true },
    { directory: true, rootDisk: true, workDisk: true, workMiB: 512, growing: "begun", seed: true },
    { directory: true, rootDisk: true, workDisk: true, workMiB: 1024, growing: "at_start", seed: true },
  ];
  for (const files of disks) {
    for (const runtime of [false, true]) {
      yield { ...files, runtime };
      for (const guest of ["booting", "up", "hung"] as const) yield { ...files, runtime, guest };
    }
  }
}

/** A daemon's passes over one VM on a host that obeys, a minute apart, without the loop's retries. */
class Bout {
  readonly time = new Time();
  readonly host: SimHost;
  readonly #world: SimWorld;
  state: State;
  #adopted = false;

  constructor(vm: Vm, { guest, ...files }: Found) {
    const chance = seeded(1);
    this.host = new SimHost(this.time, chance);
    this.host.faults = false;
    this.host.image(imageId).ready = true;
    Object.assign(this.host.vm(vmId), files);
    if (guest !== undefined) this.host.spawn(vmId, guest);
    // The guest listened there once.
    if (guest === "up") this.host.vm(vmId).process?.forwards.push({ guestPort: 8080, hostPort: 8080 });
    this.#world = new SimWorld(this.host, new LifeClock(this.time, chance), () => {});
    this.state = { ...initialState, vms: { [vmId]: vm } };
  }

  get vm(): Vm {
    return this.state.vms[vmId] as Vm;
  }

  /** Whether there was nothing to tell and nothing to do. */
  async pass(): Promise<boolean> {
    const observed = await this.#during(this.#world.observe());
    const plan = () => {
      const { capabilities } = this.#world;
      const made = planFor(this.state, stream, observed, capabilities, this.time.now(), this.#adopted);
      assert.ok(made);
      return made;
    };
    let now = plan();
    const quiet = now.facts.length + now.effects.length === 0;
    for (; now.facts.length > 0; now = plan()) {
      this.#fold(now.facts);
      this.#adopted = true;
    }
    for (const effect of now.effects) this.#fold(await this.#perform(effect));
    await this.time.advance(passMs);
    return quiet;
  }

  /** What the log is told of it; a deed that fails is not tried again. */
  async #perform(effect: Effect): Promise<NewEvent[]> {
    const context = { signal: new AbortController().signal, note: () => {} };
    try {
      await this.#during(this.#world.perform(effect, context));
      return deedFacts(effect);
    } catch (thrown) {
      return failureFacts(this.state, effect, errorBody(thrown), { final: true, repeated: false });
    }
  }

  #fold(facts: readonly NewEvent[]): void {
    for (const fact of facts) this.state = fold(this.state, [stored(this.state, fact, this.time.now())]);
  }

  async #during<T>(job: Promise<T>): Promise<T> {
    let over = false;
    const done = job.finally(() => {
      over = true;
    });
    done.catch(() => {});
    while (!over) await this.time.advance(100);
    return done;
  }
}

test(`every VM on every host comes to rest within ${passes} passes`, async () => {
  for (const { vm } of reachableVms().values()) {
    for (const found of hosts()) {
      const bout = new Bout(vm, found);
      const told = () => JSON.stringify({ vm, found, then: bout.vm, host: bout.host.vm(vmId) });
      let quiet = false;
      for (let n = 1; n <= passes; n++) quiet = await bout.pass();
      assert.ok(quiet, told());
      const left = bout.host.vm(vmId);
      assert.ok(["stopped", "running", "error", "deleted"].includes(bout.vm.phase), told());
      if (bout.vm.phase === "running") {
        assert.ok(left.process, told());
        if (left.workDisk && left.process.guest === "up")
          assert.ok(left.workMiB >= bout.vm.spec.diskMiB && left.growing !== "begun", told());
        const open = left.process.guest === "up" ? [22] : left.process.forwards.map((each) => each.guestPort);
        assert.deepEqual(
          left.process.forwards.map((each) => each.guestPort),
          open,
          told(),
        );
      } else assert.deepEqual([left.process, left.runtime], [null, false], told());
      if (bout.vm.phase === "deleted" || !(bout.vm.disksHoldData || bout.vm.phase === "running"))
        assert.equal(left.directory, false, told());
      else if (vm.everStarted && found.rootDisk) assert.equal(left.rootDisk, true, told());
    }
  }
});

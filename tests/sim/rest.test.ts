/** Effects proved on the simulated host: whatever a VM finds there, the passes end, and nothing is left over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deedFacts, failureFacts, planFor } from "../../src/core/plan.js";
import { fold, initialState } from "../../src/core/projection.js";
import { errorBody } from "../../src/lib/errors.js";
import type { NewEvent } from "../../src/model/events.js";
import type { Effect, State, Vm } from "../../src/model/model.js";
import { netKey } from "../../src/model/net-policy.js";
import { imageId, position, reachableVms, stored, vmId } from "../fixtures.js";
import { forwardsOf } from "./forwards.js";
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
    { directory: true, rootDisk: true, rootGrowing: "begun", workDisk: true, workMiB: 1024, seed: true },
  ];
  for (const files of disks) {
    yield files;
    yield { ...files, runtime: true };
    // A VMM is found by the directory of its sockets, in which it works.
    for (const guest of ["booting", "up", "hung"] as const) yield { ...files, runtime: true, guest };
  }
}

/** Every VM that a log can tell of; those that differ in what nothing goes by while it is brought to rest count once. */
function differentVms(): Iterable<Vm> {
  const found = new Map<string, Vm>();
  for (const { vm } of reachableVms().values()) {
    const { labels, lastExit, error, clockSetAt, bootedAt, readyAt, startedAt, ...rest } = vm;
    found.set(JSON.stringify(rest), vm);
  }
  return found.values();
}

/** The same in system mode: with each of them, every stage of what the helper makes. */
function* helped(): IterableIterator<Found> {
  const disks = { directory: true, rootDisk: true, workDisk: true, workMiB: 1024, seed: true };
  const whole = { loops: 2, device: true, tap: true, guard: true, nat: true } as const;
  const parts: Found[] = [
    {},
    { loops: 1 },
    { loops: 2 },
    { loops: 2, device: true },
    { ...whole, tap: false, nat: false },
    { ...whole, guard: false, nat: false },
    { ...whole, nat: false },
    whole,
  ];
  for (const part of parts) yield { ...disks, ...part };
  // All else is there: nothing but the one handle keeps a VMM from running.
  for (const part of [
    { ...whole, loops: 1, device: false } as const,
    { ...whole, tap: false },
    { ...whole, guard: false },
  ])
    yield { ...disks, runtime: true, ...part };
  yield { ...whole, runtime: true };
  yield { ...whole, jail: true };
  const running = { ...disks, ...whole, jail: true };
  for (const guest of ["up", "hung"] as const) yield { ...running, runtime: guest === "up", guest };
}

/** A daemon's passes over one VM on a host that obeys, a minute apart, without the loop's retries. */
class Bout {
  readonly time = new Time();
  readonly host: SimHost;
  readonly #world: SimWorld;
  state: State;
  #adopted = false;

  constructor(vm: Vm, { guest, ...files }: Found, mode: "user" | "system") {
    const chance = seeded(1);
    this.host = new SimHost(this.time, chance, mode);
    this.host.faults = false;
    this.host.image(imageId).ready = true;
    Object.assign(this.host.network, { bridge: true, rules: true });
    Object.assign(this.host.vm(vmId), files);
    if (guest !== undefined) this.host.spawn(vmId, {}, guest);
    // The guest listened there once.
    if (guest === "up") this.host.vm(vmId).network?.forwards.push({ guestPort: 8080, hostPort: 8080 });
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
      return failureFacts(this.state, effect, errorBody(thrown), { final: true, say: true, untold: 0 });
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

for (const [mode, found] of [
  ["user", hosts],
  ["system", helped],
] as const)
  test(`every VM on every host of ${mode} mode comes to rest within ${passes} passes`, async () => {
    for (const vm of differentVms()) for (const each of found()) await comesToRest(vm, each, mode);
  });

async function comesToRest(vm: Vm, found: Found, mode: "user" | "system"): Promise<void> {
  const bout = new Bout(vm, found, mode);
  const told = () => JSON.stringify({ vm, found, then: bout.vm, host: bout.host.vm(vmId) });
  let quiet = false;
  for (let n = 1; n <= passes; n++) quiet = await bout.pass();
  assert.ok(quiet, told());
  assert.deepEqual(bout.host.groundless, [], told());
  const left = bout.host.vm(vmId);
  assert.ok(["stopped", "running", "error", "deleted"].includes(bout.vm.phase), told());
  if (bout.vm.phase === "running") {
    assert.ok(left.process, told());
    if (left.workDisk && left.rootDisk && left.process.guest === "up") {
      assert.ok(left.workMiB >= bout.vm.spec.diskMiB && left.growing !== "begun", told());
      assert.notEqual(left.rootGrowing, "begun", told());
    }
    const { net } = bout.vm.spec;
    if (mode === "user") {
      checkForwards(bout.host, told);
      assert.equal(left.network?.policy, net.mode === "none" ? null : netKey(net), told());
    } else
      assert.deepEqual(
        [left.device, left.tap, left.guard, left.nat],
        [true, true, true, net.mode !== "none"],
      );
  } else {
    const { process, network, runtime, loops, device, tap, guard, nat, jail } = left;
    const nothing = [null, null, false, 0, false, false, false, false, false];
    assert.deepEqual([process, network, runtime, loops, device, tap, guard, nat, jail], nothing, told());
  }
  if (bout.vm.phase === "deleted" || !(bout.vm.disksHoldData || bout.vm.phase === "running"))
    assert.equal(left.directory, false, told());
  else if (vm.everStarted && found.rootDisk) assert.equal(left.rootDisk, true, told());
}

function checkForwards(host: SimHost, told: () => string): void {
  const there = forwardsOf(host, vmId).map((each) => each.guestPort);
  assert.deepEqual(there, host.vm(vmId).process?.guest === "up" ? [22] : there, told());
}

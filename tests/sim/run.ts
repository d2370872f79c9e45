/** One run: the real log, fold, decisions, reconcilers and loop against the simulated host, from one scenario. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command, CreateCommand, VmVerb } from "../../src/core/decide.js";
import { decideWithin, promisedMiB } from "../../src/core/room.js";
import { loopbackRange } from "../../src/home/addresses.js";
import { BangerError } from "../../src/lib/errors.js";
import { Ledger } from "../../src/log/ledger.js";
import { Log } from "../../src/log/log.js";
import { Loop } from "../../src/loop/loop.js";
import { daemonStream, event, hostStream } from "../../src/model/events.js";
import type { Image, Vm } from "../../src/model/model.js";
import { spec, timeouts } from "../fixtures.js";
import { type Acknowledged, checkAlways, checkFact, checkSettled } from "./check.js";
import { harm } from "./harm.js";
import { SimHost } from "./host.js";
import { imageId, wantedImage } from "./images.js";
import { endLife, type Life } from "./life.js";
import { roomOn } from "./machine.js";
import { Marks } from "./marks.js";
import { mortal } from "./mortal.js";
import type { Outcome } from "./outcome.js";
import { seeded } from "./random.js";
import type { Action, Scenario } from "./scenario.js";
import { LifeClock, Time } from "./time.js";
import { SimWorld } from "./world.js";

/** Memory rather than a disk: what is durable is the log's own test. */
const fastest = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
/** Long enough for every retry, boot and build of the safety phase to come to its end. */
const livenessMs = 20 * 60_000;
const quietMs = 2 * 60_000;
const wantedNetwork = { tapPoolSize: 2, namesPort: 42_069 };

export class Run {
  readonly #scenario: Scenario;
  readonly #time = new Time();
  readonly #chance;
  readonly #host: SimHost;
  readonly #directory: string;
  readonly #trace: string[] = [];
  readonly #problems: string[] = [];
  readonly #marks = new Marks();
  readonly #acknowledged: Acknowledged = { created: new Map(), verbs: new Map() };
  #life: Life | undefined;
  #killAt: number | null = null;
  #commands = 0;
  #phases: Record<string, string> = {};

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#chance = seeded(scenario.seed ^ 0x5eed);
    this.#host = new SimHost(this.#time, this.#chance, scenario.mode, (line) => this.#note(line));
    this.#host.memoryMiB = this.#chance.pick([1024, 100_000]);
    this.#host.faults = scenario.faults;
    this.#directory = mkdtempSync(join(fastest, "banger-sim-"));
  }

  async outcome(): Promise<Outcome> {
    try {
      await this.#pullFirstImage();
      for (const action of this.#scenario.actions) {
        await this.#time.advance(action.afterMs);
        this.#note(JSON.stringify(action));
        await this.#act(action);
        this.#checkAlways();
      }
      await this.#settle();
    } catch (thrown) {
      this.#problems.push(`thrown: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    } finally {
      this.#kill();
      rmSync(this.#directory, { recursive: true, force: true });
    }
    return { problems: this.#problems, phases: this.#phases, marks: this.#marks.counts, trace: this.#trace };
  }

  /** Faults off: what was begun must now come to its end, and then nothing more may happen. */
  async #settle(): Promise<void> {
    this.#host.faults = false;
    this.#host.full = false;
    this.#host.refusesForwards = false;
    this.#host.refusesBridge = null;
    this.#killAt = null;
    this.#host.helper.revive();
    await this.#daemon();
    await this.#time.advance(livenessMs);
    const { ledger } = await this.#daemon();
    const before = ledger.state.seq;
    await this.#time.advance(quietMs);
    const life = await this.#daemon();
    const { vms, images } = life.ledger.state;
    this.#phases = Object.fromEntries(
      [vms, images].flatMap(Object.values<Vm | Image>).map((each) => [each.name, each.phase]),
    );
    if (life.ledger.state.seq !== before) this.#problems.push("events go on after everything has settled");
    const observed = await Promise.all([life.world.observe(), this.#time.advance(100)]).then(
      ([seen]) => seen,
    );
    this.#problems.push(
      ...checkSettled(
        life.ledger,
        observed,
        life.world.capabilities,
        this.#host,
        this.#acknowledged,
        life.clock.now(),
      ),
    );
  }

  async #pullFirstImage(): Promise<void> {
    const { faults } = this.#host;
    this.#host.faults = false;
    await this.#act({ kind: "pull", image: 0, afterMs: 0 });
    await this.#time.advance(120_000);
    this.#host.faults = faults;
  }

  /** The daemon that lives; as the CLI does, one is started when there is none. */
  async #daemon(): Promise<Life> {
    while (this.#life?.pulse.alive !== true) {
      this.#kill();
      const life = this.#bear();
      this.#life = life;
      // A look that fails fails the start; the next command tries again.
      const started = life.loop.start().catch((thrown: unknown) => {
        this.#note(`start failed: ${String(thrown)}`);
        life.pulse.alive = false;
      });
      await Promise.race([started, this.#time.advance(1000)]);
      await this.#time.advance(10);
    }
    return this.#life;
  }

  #bear(): Life {
    const clock = new LifeClock(this.#time, this.#chance);
    const log = Log.open(join(this.#directory, "banger.db"), clock);
    const pulse = { alive: true };
    const boundary = () => this.#boundary(pulse);
    const ledger = new Ledger(mortal(log, pulse, boundary), () => undefined);
    const world = new SimWorld(this.#host, clock, boundary, (observed) =>
      this.#marks.look(ledger.state, observed, this.#host.mode, clock.now()),
    );
    ledger.onCommit((events) => {
      for (const told of events) {
        const { seq, stream, type, data } = told;
        const lie = checkFact(told, ledger.state, this.#host);
        if (lie !== undefined) this.#problems.push(lie);
        this.#note(`event ${seq} ${stream} ${type} ${JSON.stringify(data)}`);
      }
    });
    const loop = new Loop(ledger, world, clock, {
      concurrency: 4,
      attempts: 6,
      resyncIntervalMs: 30_000,
      warn: (message, details) => {
        this.#note(`warn ${message} ${JSON.stringify(details)}`);
        const { error } = details as { error?: { code: string; message: string } };
        if (error?.code === "internal" && pulse.alive) this.#problems.push(`${message}: ${error.message}`);
      },
    });
    const life: Life = { ledger, log, clock, world, loop, pulse };
    this.#note("the daemon starts");
    ledger.commit([event(daemonStream, "daemon.started", { version: "sim" })], "host:start");
    if (this.#scenario.mode === "system")
      ledger.commit([event(hostStream, "host.network_wanted", wantedNetwork)], "host:start");
    return life;
  }

  #boundary(pulse: Life["pulse"]): void {
    if (this.#killAt === null || this.#life?.pulse !== pulse) return;
    this.#killAt -= 1;
    if (this.#killAt > 0) return;
    this.#killAt = null;
    this.#note("the daemon dies at a boundary");
    endLife(this.#life);
  }

  /** What a kill leaves behind is the log's file, without the farewell of a clean end. */
  #kill(): void {
    if (this.#life === undefined) return;
    endLife(this.#life);
    this.#life.log.close();
    this.#life = undefined;
  }

  async #act(action: Action): Promise<void> {
    switch (action.kind) {
      case "killDaemon":
        return this.#kill();
      case "killDaemonAt":
        this.#killAt = action.boundary;
        return;
      case "reboot":
        this.#kill();
        return this.#host.reboot();
      case "startDaemon":
        await this.#daemon();
        return;
      case "pull":
        return this.#decideImage({ ...wantedImage(action.image), kind: "pullImage" });
      case "deleteImage":
        return this.#decideImage({ kind: "deleteImage", imageId: imageId(action.image) });
      case "create":
        return this.#create(action);
      case "set":
        await this.#onVm(action.name, (vmId) => ({ kind: "set", vmId, changes: action.changes }));
        return;
      case "start":
      case "stop":
      case "restart":
      case "kill":
      case "delete":
        return this.#verb(action.kind, action.name);
      default:
        harm(this.#host, action, (name) => this.#acknowledged.created.get(`vm-${name}`));
    }
  }

  /** Runs as the API would; refusals are answers, and a daemon that dies on the way gives none. */
  async #command(run: (life: Life) => unknown): Promise<boolean> {
    const life = await this.#daemon();
    try {
      run(life);
    } catch (thrown) {
      if (!(thrown instanceof BangerError) && life.pulse.alive) throw thrown;
      this.#note(`refused: ${String(thrown)}`);
      return false;
    }
    return life.pulse.alive;
  }

  /** What was decided leaves VMs no more memory than there is. */
  #commitWithin(ledger: Ledger, command: Command, cause: string): void {
    const events = decideWithin(roomOn(this.#host), ledger.state, command, timeouts);
    ledger.commit(events, cause);
    const starts = events.some(({ type }) => /vm.(created|start_requested|restart_requested)/.test(type));
    if (starts && promisedMiB(ledger.state) > this.#host.memoryMiB)
      this.#problems.push(`VMs have ${promisedMiB(ledger.state)} MiB, and there are ${this.#host.memoryMiB}`);
  }

  async #decideImage(command: Command): Promise<void> {
    await this.#command(({ ledger }) => this.#commitWithin(ledger, command, `request:${++this.#commands}`));
  }

  async #create({ name, start, ttlMs }: Extract<Action, { kind: "create" }>): Promise<void> {
    const number = ++this.#commands;
    const vmId = number.toString(16).padStart(8, "0");
    const command: CreateCommand = {
      kind: "create",
      commandId: `command-${number}`,
      vmId,
      name: `vm-${name}`,
      image: "sim-0",
      spec,
      start,
      ttlMs,
      addresses: loopbackRange(7),
    };
    const done = await this.#command((life) => this.#commitWithin(life.ledger, command, `request:${number}`));
    if (!done) return;
    this.#acknowledged.created.set(command.name as string, vmId);
    this.#acknowledged.verbs.set(vmId, start ? "start" : "create");
  }

  /** A command to the VM of that name; `vmId` is undefined when there is none, `done` tells of an answer. */
  async #onVm(
    name: number,
    command: (vmId: string) => Command,
  ): Promise<{ vmId: string | undefined; done: boolean }> {
    let vmId: string | undefined;
    const done = await this.#command((life) => {
      const { state } = life.ledger;
      vmId = Object.values(state.vms).find((vm) => vm.name === `vm-${name}` && vm.phase !== "deleted")?.id;
      if (vmId === undefined) throw new BangerError("vm_not_found", "none");
      this.#commitWithin(life.ledger, command(vmId), `request:${++this.#commands}`);
    });
    return { vmId, done };
  }

  async #verb(kind: VmVerb, name: number): Promise<void> {
    const { vmId, done } = await this.#onVm(name, (id) => ({ kind, vmId: id }));
    if (vmId === undefined) return;
    // Without an answer the command may stand or not: nothing is promised of this VM any more.
    this.#acknowledged.verbs.set(vmId, done ? kind : "unanswered");
  }

  #checkAlways(): void {
    if (this.#life?.pulse.alive) this.#problems.push(...checkAlways(this.#life.ledger.state, this.#host));
  }

  #note(line: string): void {
    this.#marks.line(line);
    this.#trace.push(`${String((this.#time.now() / 1000) % 1e7).padStart(12)} ${line}`);
  }
}

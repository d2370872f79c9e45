/** A whole daemon on the simulated host, served on a real socket, with guests whose agent the test plays. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as nextTurn } from "node:timers/promises";
import { pino } from "pino";
import { parseConfig } from "../src/config/config.js";
import { type Daemon, startDaemon } from "../src/daemon/daemon.js";
import type { ProcessScan } from "../src/effects/vmm/processes.js";
import { AgentClient } from "../src/guest/agent.js";
import { loopbackRange } from "../src/home/addresses.js";
import { type Home, homeHandles } from "../src/home/handles.js";
import { ProxyBook } from "../src/host/proxies.js";
import { type Images, imageQueries } from "../src/images/queries.js";
import { registryAccess } from "../src/images/registry-access.js";
import { BangerError } from "../src/lib/errors.js";
import { imageRootMiB } from "./sim/disks.js";
import { SimHost } from "./sim/host.js";
import { machineOf } from "./sim/machine.js";
import { seeded } from "./sim/random.js";
import { LifeClock, Time } from "./sim/time.js";
import { SimWorld } from "./sim/world.js";

/** Simulated milliseconds that go by in one turn: a boot takes a few. */
const msPerTurn = 2000;

/** A clock whose next hex numbers, such as the ids of VMs, a test can choose. */
class BenchClock extends LifeClock {
  readonly ids: string[] = [];
  override hex(bytes: number): string {
    return (bytes === 4 ? this.ids.shift() : undefined) ?? super.hex(bytes);
  }
}

/** What a guest's agent was asked to run, and the stream of its frames. */
export interface PlayedExec {
  request: unknown;
  stream: Duplex;
}

/** The agents of all guests: they answer, and hand commands to the test. */
class PlayedGuests {
  readonly server: Server;
  readonly path: string;
  /** What /healthz answers with; another status than 200 is a refusal. */
  status = 200;
  ports: object[] = [];
  readonly asked: string[] = []; // beside commands, such as "DELETE /exec?session=…"
  readonly #execs: PlayedExec[] = [];
  #arrived: () => void = () => {};

  constructor(path: string) {
    this.path = path;
    this.server = createServer((asked, reply) => {
      this.asked.push(`${asked.method} ${asked.url}`);
      const health = { status: "ok", agent: "played", uptimeMs: 1234, bootId: "b", init: "starting" };
      const body = asked.url === "/ports" ? { ports: this.ports } : health;
      reply.writeHead(this.status, { "content-type": "application/json" });
      reply.end(JSON.stringify(this.status === 200 ? body : { code: "busy", message: "not now" }));
    });
    this.server.on("upgrade", (asked: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on("error", () => socket.destroy());
      if (this.status !== 200) {
        const text = JSON.stringify({ code: "busy", message: "not now" });
        socket.end(`HTTP/1.1 503 Busy\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
        return;
      }
      void this.#accept(asked, socket, head);
    });
  }

  async #accept(asked: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const length = Number(asked.headers["content-length"]);
    socket.unshift(head);
    const body = await readExactly(socket, length);
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: banger-exec\r\n\r\n");
    this.#execs.push({ request: JSON.parse(body.toString("utf8")) as unknown, stream: socket });
    this.#arrived();
  }

  /** The next command that a guest is asked to run. */
  async nextExec(): Promise<PlayedExec> {
    while (this.#execs.length === 0) await new Promise<void>((resolve) => (this.#arrived = resolve));
    return this.#execs.shift() as PlayedExec;
  }
}

/** Exactly `length` bytes of a stream, however many at a time. @throws when it ends before them. */
export async function readExactly(stream: Duplex, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let left = length; left > 0; ) {
    const chunk = stream.read(Math.min(left, stream.readableLength || left)) as Buffer | null;
    if (chunk !== null) {
      chunks.push(chunk);
      left -= chunk.length;
      continue;
    }
    if (stream.readableEnded || stream.destroyed) throw new Error(`the stream ended ${left} bytes early`);
    await new Promise<void>((resolve) => {
      const done = () => {
        for (const name of ["readable", "end", "close"]) stream.off(name, done);
        resolve();
      };
      for (const name of ["readable", "end", "close"]) stream.on(name, done);
    });
  }
  return Buffer.concat(chunks);
}

export interface Answer {
  status: number;
  text: string;
  json: unknown;
}

export class DaemonBench {
  readonly directory = mkdtempSync(join(tmpdir(), "banger-bench-"));
  readonly home: Home;
  readonly socket: string;
  readonly host: SimHost;
  readonly clock: BenchClock;
  readonly guests: PlayedGuests;
  readonly config = {
    ...parseConfig("", "none"),
    resyncIntervalMs: 60_000,
    retentionMs: 60_000,
    dnsListen: { host: "127.0.0.1", port: 0 },
  };
  /** Addresses that the host shows connections to. */
  readonly connected = new Set<string>();
  readonly #chance = seeded(7);
  readonly #time = new Time();
  #ticking: Promise<void> = Promise.resolve();
  #open = true;
  readonly #daemons: Daemon[] = [];

  constructor() {
    const place = (name: string) => join(this.directory, name);
    const [state, data, cache, config, runtime] = ["state", "data", "cache", "config", "run"].map(place);
    this.home = { state, data, cache, config, runtime } as Home;
    this.socket = homeHandles(this.home).apiSocket;
    this.host = new SimHost(this.#time, this.#chance);
    this.host.faults = false;
    this.clock = new BenchClock(this.#time, this.#chance);
    this.guests = new PlayedGuests(join(this.directory, "guests.sock"));
  }

  static async open(): Promise<DaemonBench> {
    const bench = new DaemonBench();
    await bench.begin();
    return bench;
  }

  /** Guests answer from now on, and time goes by. */
  async begin(): Promise<void> {
    await new Promise<void>((resolve) => this.guests.server.listen(this.guests.path, resolve));
    this.#ticking = this.#tick();
  }

  /** Simulated time goes by of itself. Its timers keep their order, however busy the machine that runs the test. */
  async #tick(): Promise<void> {
    while (this.#open) {
      await this.#time.advance(msPerTurn);
      await nextTurn(1);
    }
  }

  /** One more daemon of this home, on the same host. */
  async start(): Promise<Daemon> {
    const daemon = await startDaemon({
      home: this.home,
      config: this.config,
      clock: this.clock,
      logger: pino({ level: "silent" }),
      version: "0.0.0",
      searchPath: "/usr/bin:/bin",
      openWorld: () => this.openWorld(),
      api: {
        defaults: {
          image: "debian-slim",
          vcpu: { value: 1, source: "built-in" },
          memoryMiB: { value: 512, source: "built-in" },
          diskMiB: { value: 1024, source: "built-in" },
          rootMiB: { value: null, source: "built-in" },
        },
        sshKey: homeHandles(this.home).sshKey,
        images: this.images(),
      },
    });
    this.#daemons.push(daemon);
    return daemon;
  }

  /** The real ones, but for a catalog of one image. */
  images(): Images {
    const access = registryAccess(this.home, [], {}, "/usr/bin:/bin");
    return {
      ...imageQueries(this.home, access, new ProxyBook({}), this.clock),
      async pull(_state, { ref }) {
        const source = { kind: "catalog" } as const;
        if (ref === "debian-slim") return { imageId: "debian-slim-0badcafe", name: ref, source };
        throw new BangerError("image_unknown", `no image is called "${ref}"`);
      },
    };
  }

  /** A daemon's hands on the simulated host, and its links to the guests. */
  async openWorld() {
    return Object.assign(new SimWorld(this.host, this.clock, () => {}), {
      vmm: "simulated",
      acceleration: async () => ({ accelerator: "tcg", why: "it is simulated" }),
      addresses: loopbackRange(7),
      ...{ showHandles: () => undefined, endUnreachable: () => 0 },
      connectedAddresses: () => this.connected,
      vmms: () => this.vmms(),
      machine: () => machineOf(this.host),
      usageOf: () => ({ cpuMs: null, rssBytes: null, rootBytes: 0, rootMiB: 0, diskBytes: 0 }),
      leastRootMiB: () => imageRootMiB,
      clientOf: (id: string) =>
        this.host.vms.get(id)?.process?.guest === "up"
          ? new AgentClient(() => connect(this.guests.path))
          : undefined,
    });
  }

  /** None but those that the log knows: what is simulated has no other. */
  vmms(): ProcessScan {
    return { byVm: new Map(), networks: new Map(), unreadable: undefined };
  }

  async close(): Promise<void> {
    for (const daemon of this.#daemons) await daemon.close();
    this.#open = false;
    await this.#ticking;
    this.guests.server.closeAllConnections();
    this.guests.server.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** One request, its body as JSON, answered in full. */
  ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const payload = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const headers = payload === undefined ? {} : { "content-type": "application/json" };
      const sent = request(
        { socketPath: this.socket, method, path, headers, agent: false },
        async (reply) => {
          let text = "";
          for await (const chunk of reply.setEncoding("utf8")) text += chunk as string;
          const isJson = reply.headers["content-type"]?.includes("/json") ?? false;
          resolve({ status: reply.statusCode ?? 0, text, json: isJson ? JSON.parse(text) : undefined });
        },
      );
      sent.on("error", reject);
      sent.end(payload);
    });
  }

  /** The reply's body as it comes; to stop reading ends the request. */
  async *read(path: string): AsyncGenerator<string> {
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ socketPath: this.socket, path, agent: false }, resolve).on("error", reject).end();
    });
    yield* reply.setEncoding("utf8") as AsyncIterable<string>;
  }

  /** The NDJSON lines of a path. */
  async *lines(path: string): AsyncGenerator<Record<string, unknown>> {
    let pending = "";
    for await (const text of this.read(path)) {
      const lines = (pending + text).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(line) as Record<string, unknown>;
    }
  }

  /** Waits until the stream of `ref` has an event of the type, at first or after `after`. */
  async event(ref: string, type: string, after = 0): Promise<Record<string, unknown>> {
    for await (const event of this.lines(`/v1/events?ref=${ref}&follow=true&after=${after}`)) {
      if (event["type"] === type) return event;
    }
    throw new Error(`the events of ${ref} ended before ${type}`);
  }

  async pullImage(): Promise<void> {
    await this.ask("POST", "/v1/images/pull", { ref: "debian-slim" });
    await this.event("image/debian-slim-0badcafe", "image.ready");
  }

  /** A VM, its guest up. */
  async runningVm(name: string): Promise<string> {
    const body = { commandId: `command-${name}`, name, spec: {}, start: true };
    const { id } = (await this.ask("POST", "/v1/vms", body)).json as { id: string };
    await this.event(id, "vm.ready");
    return id;
  }
}

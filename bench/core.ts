/** The CLI, the log, the loop and the daemon, each against a bare floor or a bound. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { pino } from "pino";
import { parseConfig } from "../src/config/config.js";
import { createLocalWorld } from "../src/daemon/world.js";
import { addressAt, loopbackRange } from "../src/home/addresses.js";
import { homeHandles, vmHandles } from "../src/home/handles.js";
import { ProxyBook } from "../src/host/proxies.js";
import { pause, systemClock } from "../src/lib/clock.js";
import { Ledger } from "../src/log/ledger.js";
import { Log } from "../src/log/log.js";
import { Loop } from "../src/loop/loop.js";
import { event, type NewEvent, vmStream } from "../src/model/events.js";
import { program, type TestHome } from "../tests/e2e/harness.js";
import { type Figure, median, pairs, ratio, time } from "./measure.js";

const idleVms = 1000;
const manyEvents = 100_000;

/** (b) The CLI, and what a shell asks at every press of a key, against Node doing nothing. */
export async function cliStart(home: TestHome): Promise<Figure[]> {
  await home.ok("vm", "list");
  const env = home.env;
  const figures: Figure[] = [];
  for (const argv of [
    ["vm", "list"],
    ["__complete", "--", "vm", "stop", ""],
  ]) {
    const samples = await pairs(
      15,
      { run: () => void execFileSync(program, argv, { env, stdio: "ignore" }) },
      { run: () => void execFileSync(process.execPath, ["-e", "0"], { env, stdio: "ignore" }) },
    );
    const value = ratio(samples);
    const about = `\`bin/banger ${argv.join(" ").trim()}\` / \`node -e 0\``;
    const bound = "≤ 2.5";
    figures.push({ name: "b", about, value, unit: "×", bound, holds: value <= 2.5, samples: { ...samples } });
  }
  return figures;
}

/** (c) Durable appends against a bare insert loop with the same pragmas. */
export async function appends(): Promise<Figure> {
  const count = 500;
  const directory = mkdtempSync(join(tmpdir(), "banger-bench-"));
  const log = Log.open(join(directory, "banger.db"), systemClock);
  const bare = new Database(join(directory, "bare.db"));
  bare.pragma("journal_mode = WAL");
  bare.pragma("synchronous = FULL");
  bare.pragma("locking_mode = EXCLUSIVE");
  bare.exec(
    "CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT, version INTEGER, data TEXT)",
  );
  const insert = bare.prepare("INSERT INTO events (stream, version, data) VALUES (?, ?, ?)");
  const data = JSON.stringify({ address: "127.1.0.1" });
  let version = 0;
  const samples = await pairs(
    9,
    {
      run: () => {
        for (let n = 0; n < count; n++) {
          log.append([event(vmStream("00000001"), "vm.network_attached", { address: "127.1.0.1" })], {
            cause: "bench",
          });
        }
      },
    },
    {
      run: () => {
        for (let n = 0; n < count; n++) insert.run("vm/00000001", ++version, data);
      },
    },
  );
  log.close();
  bare.close();
  rmSync(directory, { recursive: true });
  const value = 1 / ratio(samples);
  const about = "durable appends per second / bare better-sqlite3 inserts per second";
  return { name: "c", about, value, unit: "×", bound: "≥ 0.7", holds: value >= 0.7, samples: { ...samples } };
}

/** Puts stopped VMs into the log of a home, with their directories, and fills it up with idle history. */
function fill(home: TestHome, events: number): void {
  mkdirSync(home.home.state, { recursive: true });
  const log = Log.open(homeHandles(home.home).log, systemClock);
  const ledger = new Ledger(log, (error) => {
    throw error;
  });
  const lives: NewEvent[][] = [];
  for (let n = 1; n <= idleVms; n++) {
    const vmId = n.toString(16).padStart(8, "0");
    const stream = vmStream(vmId);
    mkdirSync(vmHandles(home.home, vmId).directory, { recursive: true });
    lives.push([
      event(stream, "vm.created", {
        vmId,
        name: `idle-${n}`,
        imageId: "debian-slim-00000000",
        spec: { vcpu: 1, memoryMiB: 512, diskMiB: 1024, nat: true },
        address: addressAt(loopbackRange(9), n),
        addressIndex: n,
        commandId: `bench-${n}`,
      }),
    ]);
  }
  const life = (stream: string): NewEvent[] => [
    event(stream, "vm.start_requested", { bootTimeoutMs: 60_000 }),
    event(stream, "vm.disk_attached", {}),
    event(stream, "vm.network_attached", { address: "127.9.0.1" }),
    event(stream, "vm.process_started", { pid: 1 }),
    event(stream, "vm.ready", { agent: "bench" }),
    event(stream, "vm.stop_requested", { timeoutMs: 1000 }),
    event(stream, "vm.process_exited", { reason: "asked", detail: "bench" }),
  ];
  for (const created of lives) ledger.commit(created, "bench");
  for (let n = 0; ledger.state.seq < events; n++) {
    const stream = vmStream(((n % idleVms) + 1).toString(16).padStart(8, "0"));
    ledger.commit(life(stream), "bench");
  }
  ledger.close();
}

/** (d) One pass over 1,000 idle VMs on the real host, and how often the host was looked at in it. */
export async function sweep(home: TestHome): Promise<Figure[]> {
  fill(home, idleVms * 8);
  const log = Log.open(homeHandles(home.home).log, systemClock);
  const ledger = new Ledger(log, () => undefined);
  const world = await createLocalWorld({
    place: { mode: "user", home: home.home },
    config: parseConfig("", "none"),
    clock: systemClock,
    logger: pino({ level: "silent" }),
    environment: process.env,
    proxies: new ProxyBook({}),
  });
  let looks = 0;
  const observe = () => {
    looks += 1;
    return world.observe();
  };
  const options = { concurrency: 16, attempts: 6, resyncIntervalMs: 3_600_000, warn: () => undefined };
  const loop = new Loop(ledger, { ...world, observe }, systemClock, options);
  const samples: number[] = [];
  let busy = 0;
  // A new home finds the images that lie in its place: those are not idle yet.
  for (let tries = 0; tries < 50 && (await loop.sweep()) > 0; tries++) await pause(100);
  for (let round = 0; round < 21; round++) {
    looks = 0;
    samples.push(await time({ run: async () => void (busy += await loop.sweep()) }));
  }
  await loop.stop();
  await world.close();
  ledger.close();
  const value = median(samples);
  const about = `one reconcile pass over ${idleVms} idle VMs`;
  return [
    {
      name: "d",
      about,
      value,
      unit: "ms",
      bound: "≤ 50",
      holds: value <= 50 && busy === 0,
      samples: { samples },
    },
    {
      name: "d",
      about: "looks at the host in it",
      value: looks,
      unit: "",
      bound: "= 1",
      holds: looks === 1,
      samples: {},
    },
  ];
}

/** (e) From starting the daemon to its first answer, and (f) what it then holds in memory. */
export async function daemonStart(home: TestHome): Promise<Figure[]> {
  fill(home, manyEvents);
  const samples: number[] = [];
  let rssMiB = 0;
  for (let round = 0; round < 5; round++) {
    samples.push(await time({ run: async () => void (await home.ok("vm", "list", "-q")) }));
    const pid = await home.daemonPid();
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    rssMiB = Math.max(rssMiB, Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024);
    await home.ok("daemon", "stop");
  }
  const value = median(samples) / 1000;
  const about = `daemon start, to the first answer, with ${idleVms} VMs and ${manyEvents} events`;
  return [
    { name: "e", about, value, unit: "s", bound: "≤ 1", holds: value <= 1, samples: { samples } },
    {
      name: "f",
      about: "the daemon's memory (RSS) after that",
      value: rssMiB,
      unit: "MiB",
      bound: "≤ 90",
      holds: rssMiB <= 90,
      samples: {},
    },
  ];
}

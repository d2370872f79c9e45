/** Wiring only: log, loop, world and API of one home, started and stopped as one. */
import { mkdirSync, rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { Activity } from "../api/activity.js";
import type { ApiDeps, HostWorld } from "../api/route.js";
import { buildApi } from "../api/server.js";
import { rfc3339 } from "../api/views.js";
import type { Config } from "../config/form.js";
import { nothingLeft } from "../core/notice.js";
import { type DnsServer, serveDns } from "../dns/server.js";
import { namesOf } from "../dns/zone.js";
import { type Home, homeHandles } from "../home/handles.js";
import { unwritable } from "../host/path-trouble.js";
import { openSocketPlace } from "../host/socket-place.js";
import type { Clock, Timer } from "../lib/clock.js";
import { BangerError, errorBody } from "../lib/errors.js";
import { Ledger } from "../log/ledger.js";
import { Log } from "../log/log.js";
import { Loop } from "../loop/loop.js";
import type { World } from "../loop/world.js";
import { daemonStream, event, hostStream, vmStream } from "../model/events.js";
import type { WantedNetwork } from "../model/host-network.js";
import type { Observed } from "../model/model.js";
import { autoStop } from "./auto-stop.js";
import { tellHost, watchHome } from "./home-watch.js";

export interface DaemonOptions {
  home: Home;
  config: Config;
  clock: Clock;
  logger: Logger;
  version: string;
  /** Where this daemon looks programs up, as in PATH. */
  searchPath: string;
  /** Makes the drivers of this host. */
  openWorld(): Promise<HostWorld>;
  api: Pick<ApiDeps, "defaults" | "sshKey" | "images">;
}

export interface Daemon {
  /** Ends the daemon and leaves the VMs running; a second call joins the first. */
  close(): Promise<void>;
  /** Resolves when the daemon has ended, with the error that ended it, if one did. */
  readonly closed: Promise<unknown>;
}

const concurrency = 16;
const attempts = 6;
const archiveIntervalMs = 10 * 60_000;

/**
 * Starts the daemon of a home: replay, one whole look at the host, then API and loop.
 * @throws BangerError `log_busy` when another daemon serves the home, and what log, config and home can say.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { home, config, clock, logger, version } = options;
  makePlaces(home);
  const log = Log.open(homeHandles(home).log, clock);
  let end: (error?: unknown) => void = () => {};
  const ended = new Promise<unknown>((resolve) => {
    end = resolve;
  });
  const fatal = (error: unknown) => {
    logger.fatal({ error: errorBody(error) }, "the log rejects events; the daemon ends");
    end(error);
  };
  const warn = (message: string, details: object) => logger.warn(details, message);
  const parts: (() => Promise<void> | void)[] = [];
  try {
    log.keepReserve();
    const ledger = new Ledger(log, fatal);
    parts.unshift(() => ledger.close());
    ledger.commit([event(daemonStream, "daemon.started", { version })], "host:start");
    const world = await options.openWorld();
    parts.unshift(() => world.close());
    const dns = await openDns(options, ledger, world);
    if (dns !== undefined) parts.unshift(() => dns.close());
    askForNetwork(ledger, world, { tapPoolSize: config.network.tapPoolSize, namesPort: localPort(dns) });
    const { resyncIntervalMs } = config;
    const guarded = guard(options, world, end);
    const looked = (observed: Observed) => world.showHandles(observed);
    const loopOptions = { concurrency, attempts, resyncIntervalMs, warn: guarded.warn, looked };
    const loop = new Loop(ledger, guarded.world, clock, loopOptions);
    parts.unshift(() => loop.stop());
    await loop.start();
    const about = aboutOf(options, world, dns);
    const timeouts = { bootTimeoutMs: config.bootTimeoutMs, stopTimeoutMs: config.stopTimeoutMs };
    const uses = new Activity(clock);
    const api = buildApi({
      ...options.api,
      ledger,
      world,
      home,
      clock,
      timeouts,
      allowed: config.allowed,
      uses,
      about,
      warn,
      stop: () => end(),
    });
    const letGo = await listen(api, homeHandles(home).apiSocket);
    parts.unshift(() => api.close().finally(letGo));
    parts.unshift(autoStop({ ...world, ledger, uses, clock, timeouts, config, warn }));
    parts.unshift(archivePeriodically(ledger, world, clock, config.retentionMs));
    logger.info({ home: home.state, ...about }, "the daemon serves");
  } catch (thrown) {
    await closeAll(parts, logger);
    if (parts.length === 0) log.close();
    throw thrown;
  }
  const closed = ended.then(async (error) => {
    await closeAll(parts, logger);
    logger.info("daemon stopped; VMs keep running");
    return error;
  });
  return {
    async close() {
      end();
      await closed;
    },
    closed,
  };
}

/**
 * The same host, of which nothing is seen, and so nothing done, once the home is another's or gone. What then fails ends
 * the daemon, and with it the VMs that nobody could find any more.
 */
function guard({ home, logger, searchPath }: DaemonOptions, world: HostWorld, end: (error: unknown) => void) {
  const lost = watchHome(homeHandles(home).log);
  let leaving: Promise<void> | undefined;
  const leave = async (error: BangerError) => {
    const ended = world.endUnreachable();
    logger.fatal({ error: error.toBody(), ended }, "the daemon's home is gone; it ends");
    await tellHost(`${error.message}; the daemon ends, and ${ended} of its VMs`, searchPath);
    end(error);
  };
  const watched: World = {
    capabilities: world.capabilities,
    async observe() {
      const error = lost();
      if (error !== undefined) throw error;
      return world.observe();
    },
    perform: (effect, context) => world.perform(effect, context),
    onWake: (listener) => world.onWake(listener),
    close: () => world.close(),
  };
  const warn = (message: string, details: object) => {
    const error = lost();
    if (error === undefined) logger.warn(details, message);
    else leaving ??= leave(error);
  };
  return { world: watched, warn };
}

const aboutOf = (
  { version, searchPath, clock }: DaemonOptions,
  { vmm }: HostWorld,
  dns: DnsServer | undefined,
): ApiDeps["about"] => ({
  pid: process.pid,
  version,
  startedAt: rfc3339(clock.now()),
  vmm,
  dns: dns?.address ?? null,
  searchPath,
});

/** Names are a convenience: where they cannot be served, the daemon says so and serves the rest. */
async function openDns(
  { config, logger }: DaemonOptions,
  ledger: Ledger,
  { addresses }: HostWorld,
): Promise<DnsServer | undefined> {
  if (config.dnsListen === "off") return undefined;
  const warn = (message: string, details: object) => logger.warn(details, message);
  const names = namesOf(() => ledger.state);
  try {
    return await serveDns({ ...config.dnsListen, names, addresses, warn });
  } catch (thrown) {
    warn("names are not served", { error: errorBody(thrown) });
    return undefined;
  }
}

/** What all VMs share on their host is wanted from now on, in the mode that has such a thing. */
function askForNetwork(ledger: Ledger, { capabilities }: HostWorld, wanted: WantedNetwork): void {
  if (!capabilities.bridgeNetworking) return;
  ledger.commit([event(hostStream, "host.network_wanted", wanted)], "host:start");
}

/** Its port, where that is one of 127.0.0.1, which is where the host's resolver asks. */
const localPort = (dns: DnsServer | undefined): number | null =>
  dns?.address.startsWith("127.0.0.1:") ? Number(dns.address.split(":")[1]) : null;

async function closeAll(parts: readonly (() => Promise<void> | void)[], logger: Logger): Promise<void> {
  for (const close of parts) {
    try {
      await close();
    } catch (thrown) {
      logger.error({ error: errorBody(thrown) }, "a part of the daemon did not stop cleanly");
    }
  }
}

/** The home's directories, for their owner alone. */
function makePlaces(home: Home): void {
  const { vms, runtimeVms, images, kernels } = homeHandles(home);
  for (const path of [home.state, vms, home.data, images, kernels, home.cache, home.runtime, runtimeVms]) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw unwritable(path, cause);
    }
  }
}

/**
 * A socket that already exists is a dead daemon's: the log's lock has told that none is alive. The result is to be
 * called when the server has closed, which takes away its socket by that name.
 */
async function listen(api: FastifyInstance, path: string): Promise<() => void> {
  const place = openSocketPlace(dirname(path));
  try {
    rmSync(path, { force: true });
    await api.listen({ path: place.pathOf(basename(path)) });
    return place.close;
  } catch (error) {
    place.close();
    throw error;
  }
}

/**
 * Moves the streams of VMs that were deleted long ago, and of which nothing is left, out of the log; the result
 * ends that.
 */
function archivePeriodically(ledger: Ledger, world: World, clock: Clock, retentionMs: number): () => void {
  let timer: Timer;
  let stopped = false;
  const archive = async () => {
    ledger.log.keepReserve();
    const observed = await world.observe();
    for (const vm of Object.values(ledger.state.vms)) {
      if (stopped) return;
      const due = vm.phase === "deleted" && clock.now() - vm.changedAt >= retentionMs;
      if (due && nothingLeft(observed.vms.get(vm.id) ?? observed.unlistedVm)) {
        ledger.archive(vmStream(vm.id));
      }
    }
  };
  const again = () => {
    if (stopped) return;
    timer = clock.after(
      archiveIntervalMs,
      () =>
        void archive()
          .catch(() => undefined)
          .finally(again),
    );
  };
  again();
  return () => {
    stopped = true;
    timer.cancel();
  };
}

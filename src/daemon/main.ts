/** Entry point of the daemon: one JSON line per event on standard output, status 0 when another one serves. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { pino } from "pino";
import { loadConfig } from "../config/config.js";
import { defaultsOf } from "../config/defaults.js";
import { homeHandles } from "../home/handles.js";
import { placeFrom, sshKeyOf } from "../host/home.js";
import { ProxyBook, proxiesOf } from "../host/proxies.js";
import { imageQueries } from "../images/queries.js";
import { registryAccess } from "../images/registry-access.js";
import { systemClock } from "../lib/clock.js";
import { BangerError, errorBody } from "../lib/errors.js";
import { startDaemon } from "./daemon.js";
import { createLocalWorld, searchPathOf } from "./world.js";

/** Values under these keys never reach the log. */
const secretKeys = ["env", "authorization", "password", "token", "key", "stdin"];

const logger = pino(
  { base: null, redact: { paths: secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]) } },
  pino.destination({ fd: 1, sync: true }),
);

const version = (
  JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as { version: string }
).version;

// Batch systems send it as a warning; to Node it means that a debugger is wanted.
process.on("SIGUSR1", () => undefined);

async function main(): Promise<void> {
  process.umask(0o077);
  process.title = "banger daemon";
  const place = placeFrom(process.env, process.getuid?.() ?? 0);
  const { home } = place;
  const config = loadConfig(homeHandles(home).configFile);
  logger.level = config.logLevel;
  const searchPath = searchPathOf(process.env);
  const proxies = new ProxyBook({ ...proxiesOf(process.env), ...config.proxies });
  const access = registryAccess(home, config.registries, process.env, searchPath);
  const daemon = await startDaemon({
    home,
    config,
    clock: systemClock,
    logger,
    version,
    searchPath,
    openWorld: () =>
      createLocalWorld({ place, config, clock: systemClock, logger, environment: process.env, proxies }),
    api: {
      defaults: defaultsOf(config),
      sshKey: sshKeyOf(home, config.sshKeyPath, process.env["HOME"] ?? homedir()),
      images: imageQueries(home, access, proxies, systemClock),
    },
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void daemon.close());
  process.on("SIGHUP", () => undefined);
  process.exitCode = (await daemon.closed) === undefined ? 0 : 1;
}

try {
  await main();
} catch (thrown) {
  if (thrown instanceof BangerError && thrown.code === "log_busy") process.exit(0);
  logger.fatal({ error: errorBody(thrown) }, "the daemon cannot start");
  process.exit(1);
}

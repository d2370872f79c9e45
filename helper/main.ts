/** Entry point of the root helper: `--metadata FILE`, at systemd's socket or at `--socket PATH`. */
import { chmodSync, chownSync } from "node:fs";
import { parseArgs } from "node:util";
import type { MethodTable } from "./method.js";

/** What the starter says, and nothing else of its surroundings. */
const started = {
  fds: process.env["LISTEN_FDS"],
  pid: process.env["LISTEN_PID"],
  argv: process.argv.slice(2),
};
for (const name of Object.keys(process.env)) delete process.env[name];
process.umask(0o077);

/** systemd's first descriptor: SD_LISTEN_FDS_START of sd_listen_fds(3). */
const firstFd = 3;

interface Arguments {
  metadata: string;
  /** Null for the socket that systemd listens at. */
  socket: string | null;
}

function readArguments(): Arguments {
  const { values } = parseArgs({
    args: started.argv,
    options: { metadata: { type: "string" }, socket: { type: "string" } },
  });
  if (values.metadata === undefined) throw new Error("--metadata FILE is missing");
  const socket = values.socket ?? null;
  if (socket === null && (started.fds !== "1" || started.pid !== String(process.pid)))
    throw new Error("neither --socket PATH nor a systemd socket was given");
  return { metadata: values.metadata, socket };
}

async function main(): Promise<void> {
  const { metadata: file, socket } = readArguments();
  // Only now: nothing that these load is to see the environment that was.
  const { systemClock } = await import("../src/lib/clock.js");
  const { auditTo } = await import("./audit.js");
  const { readMetadata } = await import("./metadata.js");
  const { methodTable } = await import("./methods/index.js");
  const { createHelper } = await import("./server.js");

  const metadata = readMetadata(file);
  const audit = auditTo((line) => void process.stderr.write(line), systemClock);
  const helper = createHelper({ table: methodTable, metadata, clock: systemClock, audit });
  await new Promise<void>((resolve, reject) => {
    helper.listener.once("listening", resolve).once("error", reject);
    helper.listener.listen(socket ?? { fd: firstFd });
  });
  if (socket !== null) {
    chmodSync(socket, 0o600);
    chownSync(socket, metadata.owner.uid, metadata.owner.gid);
  }
  const stop = () => {
    // A call that waits by the clock alone would not keep this process.
    setInterval(() => undefined, 1000);
    void helper.stop().finally(() => process.exit(0));
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, stop);
}

try {
  await main();
} catch (thrown) {
  const { message, hint } = thrown as Error & { hint?: string };
  process.stderr.write(`banger-helper: ${message}\n${hint === undefined ? "" : `  try: ${hint}\n`}`);
  process.exit(1);
}

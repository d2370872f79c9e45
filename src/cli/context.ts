/** What every command works with: the streams, the home, the daemon (started when it is needed) and Ctrl-C. */
import { fileURLToPath } from "node:url";
import type { CallOptions, Client, RouteName } from "../client.js";
import type { Clock } from "../clock.js";
import { BangerError } from "../errors.js";
import type { Home } from "../handles.js";
import type { Mode } from "../home.js";
import { Interrupted, type Interrupts } from "./interrupts.js";

export interface Context {
  env: NodeJS.ProcessEnv;
  mode: Mode;
  home: Home;
  clock: Clock;
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  interrupts: Interrupts;
  client: Client;
}

const slowStartMs = 400;

/** Starts the daemon unless it runs, in system mode through systemd; says so when that takes a while. */
export async function ensureDaemon(context: Context): Promise<void> {
  const { mode, home, env } = context;
  const { startDaemon, startService } = await import("../start-daemon.js");
  const { liveLine } = await import("./render/live-line.js");
  const line = liveLine(context.stderr, context.clock);
  let said = false;
  const waiting = {
    home,
    env,
    owner: context.client.owner,
    signal: context.interrupts.signal,
    onWait: (elapsedMs: number) => {
      if (said || elapsedMs < slowStartMs) return;
      said = true;
      line.show("starting the daemon");
    },
  };
  const script = fileURLToPath(new URL("../daemon-main.js", import.meta.url));
  try {
    await (mode === "system" ? startService(waiting) : startDaemon({ ...waiting, script }));
  } finally {
    line.clear();
  }
}

/** Whether nobody can have heard the request, so that it may be sent again. */
export const neverArrived = (error: unknown): boolean =>
  error instanceof BangerError && error.code === "daemon_not_running";

/** Runs `ask`; when there is no daemon, starts one and runs it once more. */
export async function withDaemon<T>(context: Context, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!neverArrived(error)) throw error;
  }
  await ensureDaemon(context);
  return ask();
}

/** One API call, which starts the daemon when it is not running and ends on Ctrl-C. */
export function call<K extends RouteName>(context: Context, route: K, options: CallOptions<K> = {}) {
  const { signal } = context.interrupts;
  return withDaemon(context, () => context.client.call(route, { signal, ...options }));
}

/**
 * Writes to stdout, waiting while the reader is slow.
 * @throws `Interrupted` when the reader has gone, BangerError `output_unwritable`
 */
export async function print({ stdout }: Context, text: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stdout.write(text, (error) => (error ? reject(outputError(error)) : resolve()));
  });
}

/** Resolves when what was written to the stream is out. @throws as `print` */
export async function flushed(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.errored) throw outputError(stream.errored);
  await new Promise<void>((resolve, reject) => {
    stream.write("", (error) => (error ? reject(outputError(stream.errored ?? error)) : resolve()));
  });
}

/** A reader such as `head` that has seen enough ends a program as SIGPIPE does; everything else is a failure. */
export function outputError(cause: NodeJS.ErrnoException): Error {
  if (cause.code === "EPIPE") return new Interrupted("SIGPIPE");
  return new BangerError("output_unwritable", `the output cannot be written: ${cause.message}`, {
    hint: "df -h, or write it somewhere else",
    cause,
  });
}

export const printJson = (context: Context, value: unknown): Promise<void> =>
  print(context, `${JSON.stringify(value, null, 2)}\n`);

/** A line for the user beside the command's output. */
export function say(context: Context, text: string): void {
  context.stderr.write(`${text}\n`);
}

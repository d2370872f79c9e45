/** What every command works with: the streams, the home, the daemon (started when it is needed) and Ctrl-C. */
import { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { type CallOptions, Client, type RouteName } from "../../client/client.js";
import type { Home } from "../../home/handles.js";
import type { Mode } from "../../host/home.js";
import type { Clock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import { jsonText } from "../render/style.js";
import type { Interrupts } from "./interrupts.js";
import { forReader, write } from "./output.js";

export interface Context {
  env: NodeJS.ProcessEnv;
  mode: Mode;
  home: Home;
  clock: Clock;
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  interrupts: Interrupts;
  /** Starts the daemon when a request finds none. */
  client: Client;
  /** Whether the result is to be JSON on stdout; stderr then has nothing but the error. */
  json: boolean;
}

/** The context with some things changed, which also hold for a daemon that is started under it. */
export function changed(
  context: Context,
  changes: Partial<Omit<Context, "client">>,
  { socketPath, owner }: Pick<Client, "socketPath" | "owner"> = context.client,
): Context {
  // The streams behind it stay getters: each costs a millisecond, and is made when it is first asked for.
  const client = new Client(socketPath, owner, () => startDaemonOf(own));
  const properties = Object.getOwnPropertyDescriptors({ ...changes, client });
  const own = Object.create(context, properties) as Context;
  return own;
}

const nowhere = () => new Writable({ write: (_bytes, _encoding, done) => done() }) as NodeJS.WriteStream;

/** The same, whose words for people go nowhere. */
export const silenced = (context: Context): Context => changed(context, { stderr: nowhere() });

/** The same with `--json`. */
export const withJson = (context: Context): Context => changed(context, { json: true, stderr: nowhere() });

const slowStartMs = 400;

/** Starts the daemon, in system mode through systemd; says so when that takes a while. */
export async function startDaemonOf(context: Context): Promise<void> {
  const { mode, home, env } = context;
  const { startDaemon, startService } = await import("../../client/start-daemon.js");
  const { liveLine } = await import("../render/live-line.js");
  const { progressOutput } = await import("../render/style.js");
  const line = liveLine(progressOutput(context), context.clock);
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
  const script = fileURLToPath(new URL("../../daemon/main.js", import.meta.url));
  try {
    await (mode === "system" ? startService(waiting) : startDaemon({ ...waiting, script }));
  } finally {
    line.clear();
  }
}

/** Whether nobody can have heard the request, so that it may be sent again. */
export const neverArrived = (error: unknown): boolean =>
  error instanceof BangerError && error.code === "daemon_not_running";

/** One API call, which ends on Ctrl-C. */
export function call<K extends RouteName>(context: Context, route: K, options: CallOptions<K> = {}) {
  return context.client.call(route, { signal: context.interrupts.signal, ...options });
}

/**
 * Writes text to stdout, waiting while the reader is slow; what a terminal could act on goes only where none is.
 * @throws `Interrupted` when the reader has gone, BangerError `not_written`
 */
export const print = (context: Context, text: string): Promise<void> =>
  write(context.stdout, forReader(context.stdout, text));

/** The result of a command: JSON for programs, `text` for people. */
export const answer = (context: Context, value: unknown, text: string): Promise<void> =>
  context.json ? printJson(context, value) : print(context, text);

export const printJson = (context: Context, value: unknown): Promise<void> =>
  print(context, `${jsonText(value, 2)}\n`);

/** A line for the user beside the command's output. */
export function say(context: Context, text: string): void {
  context.stderr.write(forReader(context.stderr, `${text}\n`));
}

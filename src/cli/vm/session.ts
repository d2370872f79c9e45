/** One command in a guest, joined to this process's own streams: input, output, window size, signals, status. */
import { spawnSync } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import type { ExecRequest } from "../../contract/guest.js";
import { ExecClient, type ExecResult, OutputError } from "../../guest/exec-stream.js";
import { BangerError } from "../../lib/errors.js";
import { type Context, silenced } from "../base/context.js";
import { Interrupted } from "../base/interrupts.js";
import { flushed, outputEnd } from "../base/output.js";
import { openCommand } from "./command.js";
import { daemonWent, guestEnded } from "./lost-session.js";
import { inForeground, TerminalInput } from "./terminal-input.js";

/** Errors that are the command's own fault. */
const commandFaults = new Set(["exec_not_found", "exec_not_executable"]);

/** What the end of a guest looks like to its commands. */
const losses = new Set(["exec_lost", "exec_gone", "agent_unreachable", "vm_not_running", "vm_not_found"]);

/** Signals that tell a program something, and may come often. */
const messages = new Set(["SIGUSR1", "SIGUSR2"]);

/** A command that outlives this many signals is left: its user wants to go. */
const mostSignals = 3;

export interface SessionRequest {
  argv: string[];
  /** Whether the command gets a terminal; then input is raw and Ctrl-C goes to the guest as a key. */
  tty: boolean;
  /** Whether this process's input goes to the command; else it reads an end of file. */
  input: boolean;
  cwd?: string;
  env?: Record<string, string>;
  imageEnv?: boolean;
}

/** Flags of commands that hand this process's input on. */
export const inputFlags = {
  interactive: {
    type: "boolean",
    alias: "i",
    description: "Pass standard input to the command (the default)",
  },
  stdin: {
    type: "boolean",
    default: true,
    description: "Do not read standard input (for use in loops); the command sees end of file",
  },
  n: { type: "boolean", description: "The same as --no-stdin" },
} as const;

/** Whether the command is given this process's input. */
export const takesInput = (flags: {
  interactive?: boolean | undefined;
  stdin?: boolean | undefined;
  n?: boolean | undefined;
}): boolean => flags.interactive !== false && flags.stdin !== false && flags.n !== true;

/** Whether a command gets a terminal without being asked: when its user sits at one on both ends. */
export const onTerminal = ({ stdin, stdout }: Context): boolean =>
  stdin.isTTY === true && stdout.isTTY === true && inForeground();

/** A terminal that was never told its size says 0. */
const columnsOf = ({ stdout }: Context): number => stdout.columns || 80;
const rowsOf = ({ stdout }: Context): number => stdout.rows || 24;

/**
 * The exit status of the command: its own, or 128 + n for signal n.
 * @throws BangerError when it could not be started, or its connection broke
 */
export const runSession = async (context: Context, ref: string, request: SessionRequest): Promise<number> =>
  statusOf(await joinSession(context, ref, request, context));

export const statusOf = (result: ExecResult): number =>
  "code" in result ? result.code : 128 + result.number;

/** Joins the command to this process's input and to the given outputs. @throws BangerError as `runSession` */
export async function joinSession(
  context: Context,
  ref: string,
  { tty, input, ...request }: SessionRequest,
  { stdout, stderr }: { stdout: Writable; stderr: Writable },
): Promise<ExecResult> {
  const { env } = context;
  const body: ExecRequest = { ...request, tty };
  if (tty) {
    body.cols = columnsOf(context);
    body.rows = rowsOf(context);
    const own = ["TERM", "COLORTERM"].flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]));
    body.env = { ...Object.fromEntries(own), ...request.env };
  }
  const begun = context.clock.now();
  // Beside a terminal in raw mode nothing may be shown.
  const { connection, reconnect } = await openCommand(tty ? silenced(context) : context, ref, body);
  const stdin = input ? inputOf(context) : undefined;
  const command = new ExecClient(connection, { ...(stdin && { stdin }), stdout, stderr }, reconnect);
  let left: Interrupted | undefined;
  let interrupted = false;
  const releases = [
    forwardSignals(context, command, tty, (interrupted) => {
      left = interrupted;
      command.destroy();
    }),
    tty ? useRawTerminal(context, command) : () => undefined,
  ];
  try {
    const result = await command.result;
    await Promise.all([flushed(stdout), flushed(stderr)]);
    interrupted = "number" in result && result.number === interrupt;
    return result;
  } catch (error) {
    const lost = error instanceof BangerError && losses.has(error.code);
    const ended =
      left === undefined && lost
        ? ((await guestEnded(context, ref, begun)) ?? (await daemonWent(context, ref)))
        : undefined;
    throw left ?? ended ?? named(error, request.argv[0] ?? "");
  } finally {
    if (stdin instanceof TerminalInput) stdin.destroy();
    for (const release of releases) release();
    // The terminal shows ^C, and a shell begins a line for its prompt only where its own child died of it.
    if (interrupted && context.stderr.isTTY === true) context.stderr.write("\n");
  }
}

const interrupt = constants.signals.SIGINT;

const inputOf = ({ stdin, clock }: Context): Readable =>
  stdin.isTTY === true ? new TerminalInput(stdin, clock) : stdin;

/** The guest does not say which command it could not start; its user must know. */
function named(error: unknown, program: string): unknown {
  if (error instanceof OutputError) return outputEnd(error.cause as NodeJS.ErrnoException);
  if (!(error instanceof BangerError) || !commandFaults.has(error.code)) return error;
  return BangerError.from(error.toBody(), { message: `${program}: ${error.message}` });
}

/** Signals to this process become signals to the command; a shell on a terminal would only ignore them. */
function forwardSignals(
  { interrupts }: Context,
  command: ExecClient,
  tty: boolean,
  leave: (interrupted: Interrupted) => void,
): () => void {
  let count = 0;
  return interrupts.take((name, number) => {
    if (!messages.has(name)) count += 1;
    if (count > mostSignals || (tty && name !== "SIGINT")) leave(new Interrupted(name));
    else command.signal(number);
  });
}

/** Keys go to the guest as they are typed, and so does the size of the window. Undone at the end, whatever ends it. */
function useRawTerminal(context: Context, command: ExecClient): () => void {
  const terminal = context.stdin;
  const resize = () => command.resize(columnsOf(context), rowsOf(context));
  const restore = () => terminal.setRawMode(false);
  terminal.setRawMode(true);
  // Node's raw mode goes on turning "\n" into "\r\n", which garbles full-screen programs; restoring undoes this too.
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
  context.stdout.on("resize", resize);
  process.once("exit", restore);
  return () => {
    context.stdout.off("resize", resize);
    process.off("exit", restore);
    restore();
  };
}

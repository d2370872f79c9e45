/** One command in a guest, joined to this process's own streams: input, output, window size, signals, status. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { ExecRequest } from "../contract.js";
import { BangerError } from "../errors.js";
import { encodeFrame, encodeResize, execFrame, type Frame, FrameDecoder } from "../guest/exec-stream.js";
import { type Context, withDaemon } from "./context.js";
import { Interrupted } from "./interrupts.js";

/** What a POSIX shell answers for a command that it cannot run. */
const statusOfError: Record<string, number> = { not_found: 127, not_executable: 126 };

export interface SessionRequest {
  argv: string[];
  /** Whether the command gets a terminal; then input is raw and Ctrl-C goes to the guest as a key. */
  tty: boolean;
  /** Whether this process's input goes to the command; else it reads an end of file. */
  input: boolean;
  cwd?: string;
  env?: Record<string, string>;
  /** The VM is deleted when the command ends or this process goes away. */
  thenDelete?: boolean;
}

/** How the command ended; `error` says why it never began. */
export interface Ending {
  status: number;
  error?: BangerError;
}

/** The exit status of the command: its own, 128 + n for signal n, 127 and 126 as a shell has them. */
export async function runSession(
  context: Context,
  ref: string,
  { tty, input, ...request }: SessionRequest,
): Promise<Ending> {
  const { stdout, env } = context;
  const body: ExecRequest = { ...request, tty };
  if (tty) {
    body.cols = stdout.columns ?? 80;
    body.rows = (stdout as NodeJS.WriteStream).rows ?? 24;
    body.env = { ...(env["TERM"] !== undefined && { TERM: env["TERM"] }), ...request.env };
  }
  const { stream, head } = await withDaemon(context, () => context.client.exec(ref, body));
  const undo = [forwardSignals(context, stream, tty)];
  if (tty) undo.push(useRawTerminal(context, stream));
  // A stream that breaks while input is sent breaks for the receiver as well, which says so.
  (input ? sendInput(context, stream) : endInput(stream)).catch(() => undefined);
  try {
    return await receive(context, stream, head);
  } finally {
    for (const each of undo) each();
    stream.destroy();
    context.stdin().pause();
  }
}

/** Reads frames until the command has ended, writing its output at the pace at which it is taken. */
async function receive(context: Context, stream: Duplex, head: Buffer): Promise<Ending> {
  const decoder = new FrameDecoder();
  for (const frame of decoder.push(head)) {
    const ending = await take(context, frame);
    if (ending !== undefined) return ending;
  }
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      for (const frame of decoder.push(chunk)) {
        const ending = await take(context, frame);
        if (ending !== undefined) return ending;
      }
    }
  } catch (error) {
    if (error instanceof BangerError || error instanceof Interrupted) throw error;
  }
  throw new BangerError("session_lost", "the connection to the guest broke before the command ended", {
    hint: "banger vm list",
    retry: "later",
  });
}

async function take(context: Context, { type, payload }: Frame): Promise<Ending | undefined> {
  switch (type) {
    case execFrame.stdout:
      await write(context.stdout, payload);
      return undefined;
    case execFrame.stderr:
      await write(context.stderr, payload);
      return undefined;
    case execFrame.exit: {
      const { code, number } = JSON.parse(payload.toString("utf8")) as { code?: number; number?: number };
      return { status: code ?? 128 + (number ?? 0) };
    }
    case execFrame.error: {
      const { code, message } = JSON.parse(payload.toString("utf8")) as { code: string; message: string };
      return { error: new BangerError(code, message), status: statusOfError[code] ?? 1 };
    }
    default:
      return undefined;
  }
}

async function write(output: Context["stdout"], bytes: Buffer): Promise<void> {
  if (!output.write(bytes)) await new Promise<void>((resolve) => output.once("drain", resolve));
}

async function endInput(stream: Duplex): Promise<void> {
  stream.write(encodeFrame(execFrame.stdinEof));
}

const chunkBytes = 16 * 1024;

async function sendInput({ stdin }: Context, stream: Duplex): Promise<void> {
  for await (const chunk of stdin() as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; at += chunkBytes) {
      const frame = encodeFrame(execFrame.stdin, chunk.subarray(at, at + chunkBytes));
      if (!stream.write(frame)) await once(stream, "drain");
    }
  }
  await endInput(stream);
}

/** A command that outlives this many signals is left: its user wants to go. */
const mostSignals = 3;

/** Signals to this process become signals to the command; a shell on a terminal would only ignore them. */
function forwardSignals({ interrupts }: Context, stream: Duplex, tty: boolean): () => void {
  let count = 0;
  return interrupts.take((name, number) => {
    count += 1;
    if (count > mostSignals || (tty && name !== "SIGINT")) stream.destroy(new Interrupted(name));
    else stream.write(encodeFrame(execFrame.signal, Buffer.of(number)));
  });
}

/** Keys go to the guest as they are typed, and so does the size of the window. Undone at the end, whatever ends it. */
function useRawTerminal({ stdin, stdout }: Context, stream: Duplex): () => void {
  const terminal = stdin();
  const output = stdout as NodeJS.WriteStream;
  const resize = () => stream.write(encodeResize(output.columns ?? 80, output.rows ?? 24));
  const restore = () => terminal.setRawMode(false);
  terminal.setRawMode(true);
  output.on("resize", resize);
  process.once("exit", restore);
  return () => {
    output.off("resize", resize);
    process.off("exit", restore);
    restore();
  };
}

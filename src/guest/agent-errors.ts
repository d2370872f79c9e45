/** What the guest's agent replies, read with a bound, and what it refuses. */
import type { IncomingMessage } from "node:http";
import type { Static, TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { BangerError } from "../lib/errors.js";
import { Failure } from "./agent-replies.js";
import { ByteQueue } from "./bytes.js";

/** The longest reply that is kept in memory; the agent's own bound is far below. */
export const replyMaxBytes = 1024 * 1024;

export function unreachable(cause: unknown): BangerError {
  if (cause instanceof BangerError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BangerError("agent_unreachable", `the guest's agent does not answer: ${why}`, {
    retry: "later",
    cause,
  });
}

export function garbled(cause?: unknown): BangerError {
  return new BangerError("agent_garbled", "the guest's agent sent an invalid reply", { cause });
}

export async function readAll(reply: IncomingMessage): Promise<Buffer> {
  const read = new ByteQueue();
  try {
    for await (const chunk of reply as AsyncIterable<Buffer>) {
      if (read.length + chunk.length > replyMaxBytes) throw garbled();
      read.add(chunk);
    }
  } catch (cause) {
    throw unreachable(cause);
  }
  return read.takeAll();
}

export function parse<T extends TSchema>(schema: T, text: string): Static<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw garbled(cause);
  }
  if (!Value.Check(schema, value)) throw garbled();
  return value;
}

/** The agent said no; its own code, in front of its message, says why. */
export class Refusal extends BangerError {
  constructor(
    readonly reason: string,
    message: string,
    retry: "never" | "later",
  ) {
    super("agent_refused", `${reason}: ${message}`, { retry });
  }
}

export async function refusal(reply: IncomingMessage): Promise<BangerError> {
  const text = (await readAll(reply)).toString("utf8");
  try {
    const body = parse(Failure, text);
    const retry = reply.statusCode === 503 ? "later" : "never";
    return new Refusal(body.code, body.message, retry);
  } catch {
    return garbled();
  }
}

export function cannotGoOn(reason: string | undefined): BangerError | undefined {
  if (reason === "upgrade_required") {
    const message = "the guest's agent is older than this banger: what was running there was hung up";
    return new BangerError("exec_lost", message, { hint: "restart the VM, which gives it the newer agent" });
  }
  if (reason !== "no_such_session" && reason !== "bad_offset") return undefined;
  return new BangerError("exec_gone", "the guest does not have this command any more", {
    hint: "run it again: the guest restarted, or the command waited too long for its client",
  });
}

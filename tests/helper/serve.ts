/** The helper's server in this process, with methods of the test's, and a client that sends whatever bytes it likes. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Call } from "../../helper/audit.js";
import type { Answer, MethodName } from "../../helper/contract.js";
import type { Metadata } from "../../helper/metadata.js";
import type { HelperContext, MethodTable } from "../../helper/method.js";
import { createHelper, type HelperServer } from "../../helper/server.js";
import { type Clock, systemClock } from "../../src/lib/clock.js";
import { metadataOf } from "./metadata.js";

const uid = process.getuid?.() ?? 0;

type Act = (params: Record<string, unknown>, context: HelperContext) => Promise<unknown>;

export interface Served {
  path: string;
  helper: HelperServer;
  /** Every call that reached a method. */
  reached: { method: MethodName; params: Record<string, unknown> }[];
  audit: Call[];
}

const quiet: Act = async () => ({});

interface Options {
  methods?: Partial<Record<MethodName, Act>>;
  clock?: Clock;
  metadata?: Metadata;
  path?: string;
}

type Context = { after: (done: () => Promise<void>) => void };

export async function serve(t: Context, options: Options = {}): Promise<Served> {
  const reached: Served["reached"] = [];
  const audit: Call[] = [];
  const method = (name: MethodName): Act => {
    return (params, context) => {
      reached.push({ method: name, params });
      return (options.methods?.[name] ?? quiet)(params, context);
    };
  };
  const table = new Proxy({}, { get: (_, name) => method(name as MethodName) }) as MethodTable;
  const directory = mkdtempSync(join(tmpdir(), "banger-helper-"));
  const path = options.path ?? join(directory, "s");
  const helper = createHelper({
    table,
    metadata: options.metadata ?? metadataOf("/var/lib/banger", uid || 1000),
    clock: options.clock ?? systemClock,
    audit: (call) => void audit.push(call),
  });
  helper.listener.listen(path);
  await once(helper.listener, "listening");
  t.after(async () => {
    await helper.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  return { path, helper, reached, audit };
}

/** A client without manners. */
export class Raw {
  readonly socket: Socket;
  readonly answers: Answer[] = [];
  readonly closed: Promise<void>;
  /** What it was sent so far, to the byte. */
  text = "";
  #wake: (() => void)[] = [];

  constructor(path: string) {
    this.socket = createConnection({ path, allowHalfOpen: true });
    this.socket.on("error", () => this.socket.destroy());
    // Who was ended ends.
    this.socket.on("end", () => this.socket.end());
    this.socket.on("data", (data) => {
      this.text += data.toString("latin1");
      const lines = this.text.split("\n").slice(this.answers.length, -1);
      this.answers.push(...lines.map((line) => JSON.parse(line) as Answer));
      for (const wake of this.#wake.splice(0)) wake();
    });
    this.closed = new Promise((resolve) => {
      this.socket.once("close", () => {
        for (const wake of this.#wake.splice(0)) wake();
        resolve();
      });
    });
  }

  send(...what: (string | Buffer | object)[]): void {
    for (const each of what) {
      const bytes = typeof each === "string" || Buffer.isBuffer(each) ? each : `${JSON.stringify(each)}\n`;
      this.socket.write(bytes);
    }
  }

  /** Resolves when so many answers have come in all, or none can come any more. */
  async answered(count: number): Promise<Answer[]> {
    while (this.answers.length < count && !this.socket.destroyed)
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    return this.answers;
  }
}

export const look = (id: number) => ({ id, method: "look", params: {} });
export const noTap = (id: number, vmId: string) => ({ id, method: "ensureNoTap", params: { vmId } });

/** The rule or else the code of an answer's error; "result" for none. */
export const verdictOf = (answer: Answer | undefined): string =>
  answer === undefined ? "nothing" : "error" in answer ? (answer.error.rule ?? answer.error.code) : "result";

/** A promise, and what settles it. */
export function gate(): { promise: Promise<void>; open: () => void } {
  let open = () => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

/** Resolves when it holds; what never holds hangs, and the test runner says which test that was. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => setTimeout(resolve, 2));
}

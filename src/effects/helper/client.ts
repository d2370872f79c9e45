/** The daemon's end of the root helper's socket: one connection, made when it is needed and made again when it ends. */
import { createConnection, type Socket } from "node:net";
import type { Answer, Failure, MethodName, Params, Request, Result } from "../../../helper/contract.js";
import type { ErrorCode } from "../../lib/error-codes.js";
import { BangerError } from "../../lib/errors.js";
import type { HelperCalls } from "./calls.js";

export interface Helper extends HelperCalls {
  close(): void;
}

/** The helper takes no more from one connection before it has answered. */
const mostPending = 64;
/** The helper's longest answer; see helper/limits.ts. */
const longestLine = 1 << 20;

interface Waiting {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** `path` is that of the helper's socket. */
export function helperClient(path: string): Helper {
  let link: Link | undefined;
  let closed = false;

  return {
    call(method, params, signal) {
      if (signal.aborted) return Promise.reject(signal.reason);
      if (closed) return Promise.reject(later("helper_lost", "this daemon is ending"));
      if (link === undefined || link.ended) link = new Link(path);
      return link.call(method, params, signal);
    },
    close() {
      closed = true;
      link?.close();
    },
  };
}

class Link {
  ended = false;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #connected = false;
  #parts: Buffer[] = [];
  #length = 0;
  /** What the helper said about the whole connection, before it ended it. */
  #verdict: BangerError | undefined;

  constructor(private readonly path: string) {
    this.#socket = createConnection(path);
    this.#socket.once("connect", () => {
      this.#connected = true;
    });
    this.#socket.on("data", (data) => this.#take(data));
    // The helper never reopens a connection that it ended: answers that are still to come would be lost in any case.
    this.#socket.on("end", () => this.#end());
    this.#socket.on("error", (error: NodeJS.ErrnoException) => this.#end(error.code));
    this.#socket.on("close", () => this.#end());
  }

  call<M extends MethodName>(method: M, params: Params<M>, signal: AbortSignal): Promise<Result<M>> {
    if (this.#waiting.size >= mostPending)
      return Promise.reject(later("helper_busy", `${mostPending} calls to the root helper are unanswered`));
    const id = ++this.#lastId;
    return new Promise<Result<M>>((resolve, reject) => {
      // The helper finishes calls that nobody waits for any more: their place is free once it has answered.
      const abort = () => reject(signal.reason);
      const done = () => signal.removeEventListener("abort", abort);
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.set(id, {
        resolve: (result) => (done(), resolve(result as Result<M>)),
        reject: (error) => (done(), reject(error)),
      });
      this.#socket.write(`${JSON.stringify({ id, method, params } satisfies Request<M>)}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
    this.#end();
  }

  #take(data: Buffer): void {
    let rest = data;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...this.#parts, rest.subarray(0, end)]).toString("utf8");
      this.#parts = [];
      this.#length = 0;
      rest = rest.subarray(end + 1);
      this.#answer(line);
    }
    if (rest.length > 0) this.#parts.push(rest);
    this.#length += rest.length;
    if (this.#length > longestLine) this.close();
  }

  #answer(line: string): void {
    let answer: Answer;
    try {
      answer = JSON.parse(line) as Answer;
    } catch {
      return this.close();
    }
    if ("error" in answer) return this.#failed(answer);
    this.#waiting.get(answer.id)?.resolve(answer.result);
    this.#waiting.delete(answer.id);
  }

  #failed({ id, error }: Failure): void {
    const failure = failed(error);
    if (id === null) {
      this.#verdict = failure;
      return;
    }
    this.#waiting.get(id)?.reject(failure);
    this.#waiting.delete(id);
  }

  #end(code?: string): void {
    if (this.ended) return;
    this.ended = true;
    this.#socket.destroy();
    const why = this.#verdict ?? (this.#connected ? lost() : unreachable(this.path, code));
    for (const { reject } of this.#waiting.values()) reject(why);
    this.#waiting.clear();
  }
}

const later = (code: ErrorCode, message: string): BangerError =>
  new BangerError(code, message, { retry: "later", hint: "banger system status" });

const lost = (): BangerError =>
  later("helper_lost", "the root helper exited before answering; it may be restarting");

const unreachable = (path: string, code = "closed"): BangerError =>
  later("helper_unreachable", `nothing answers at ${path} (${code}): the root helper is not running`);

function failed({ code, message, rule, hint, retry }: Failure["error"]): BangerError {
  const text = rule === undefined ? message : `${message} (rule ${rule})`;
  return BangerError.from({ code, message: text, retry, ...(hint !== undefined && { hint }) });
}

/** One client of the helper: reads its requests, writes its answers, and lets it cost no more than its share. */
import type { Socket } from "node:net";
import type { Clock, Timer } from "../src/lib/clock.js";
import type { Audit } from "./audit.js";
import type { Calls } from "./calls.js";
import type { Answer, Failure, Request } from "./contract.js";
import { limits, longestRequest } from "./limits.js";
import type { Peer } from "./peer.js";
import { errorOf, HostFailure, Refusal } from "./refusal.js";
import { answerLine, Lines, readRequest } from "./wire.js";

export class Connection {
  readonly #lines = new Lines(longestRequest);
  #pending = 0;
  #refused = 0;
  /** Nothing more is read: the client has ended, or was ended. */
  #ended = false;
  /** The client itself hung up, and waits for nothing. */
  #gone = false;
  #slow: Timer | undefined;
  #whenIdle: (() => void)[] = [];

  constructor(
    private readonly socket: Socket,
    private readonly peer: Peer,
    private readonly calls: Calls,
    private readonly clock: Clock,
    private readonly audit: Audit,
  ) {
    socket.on("data", (data) => this.#take(data));
    for (const event of ["end", "close"]) socket.on(event, () => this.#leave());
  }

  /** Resolves when each of its calls has been answered, though nobody may be there to read it. */
  idle(): Promise<void> {
    return this.#pending === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Reads nothing more; the connection ends with its last answer. */
  stop(): void {
    this.#ended = true;
    this.#slow?.cancel();
    this.socket.pause();
    this.#settle();
  }

  #leave(): void {
    this.#gone = true;
    this.stop();
  }

  #take(data: Buffer): void {
    if (this.#ended) return;
    const sound = this.#lines.take(data, (line) => this.#line(line));
    if (!sound)
      return this.#close(new Refusal("request-size", `a request has at most ${longestRequest} bytes`));
    if (!this.#lines.open) {
      this.#slow?.cancel();
      this.#slow = undefined;
    } else this.#slow ??= this.clock.after(limits.requestMs, () => this.#tooSlow());
  }

  #tooSlow(): void {
    this.#close(new Refusal("request-time", `a request must be whole within ${limits.requestMs} ms`));
  }

  #line(line: Buffer): void {
    if (this.#ended) return;
    // A new line has a time of its own.
    this.#slow?.cancel();
    this.#slow = undefined;
    const request = readRequest(line);
    if ("refusal" in request) return this.#refuse(request.id, request.refusal);
    if (this.#pending >= limits.pendingCalls)
      return this.#refuse(
        request.id,
        new HostFailure("helper_busy", `${this.#pending} calls have no answer yet`),
        request,
      );
    void this.#call(request);
  }

  async #call(request: Request): Promise<void> {
    const arrived = this.clock.now();
    this.#pending++;
    let answer: Answer;
    try {
      const result = await this.calls.perform(request, () => !this.#gone);
      answer = { id: request.id, result } as Answer;
    } catch (error) {
      answer = { id: request.id, error: errorOf(error) };
    }
    this.#pending--;
    this.#note(request, "error" in answer ? answer.error : null, this.clock.now() - arrived);
    this.#write(answer);
    this.#settle();
  }

  #refuse(id: number | null, why: Refusal | HostFailure, request?: Request): void {
    const error = errorOf(why);
    this.#note(request, error, 0);
    this.#write({ id, error });
    if (++this.#refused !== limits.refusals) return;
    this.#close(new Refusal("refusals", `${limits.refusals} requests of this connection were refused`));
  }

  #note(request: Request | undefined, error: Failure["error"] | null, durationMs: number): void {
    const vmId = request !== undefined && "vmId" in request.params ? request.params.vmId : null;
    this.audit({ peer: this.peer, method: request?.method ?? null, vmId, durationMs, error });
  }

  /** When the connection cannot continue: one last line, then the end, whether or not the client reads it. */
  #close(refusal: Refusal): void {
    this.#refuse(null, refusal);
    this.#ended = true;
    this.#slow?.cancel();
    this.socket.destroySoon();
  }

  #write(answer: Answer): void {
    if (!this.socket.writable) return;
    this.socket.write(answerLine(answer));
    if (this.socket.writableLength > limits.unreadBytes) this.socket.destroy();
  }

  #settle(): void {
    if (this.#pending > 0) return;
    if (this.#ended) this.socket.end();
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}

/** A client of QEMU's machine protocol: one JSON object per line over a unix socket, one client at a time. */
import type { Socket } from "node:net";
import { connectSocket } from "../../../host/socket-place.js";
import type { Clock, Timer } from "../../../lib/clock.js";
import type { ErrorCode } from "../../../lib/error-codes.js";
import { BangerError } from "../../../lib/errors.js";

interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

export interface QmpClient {
  /**
   * Runs one command and resolves with its return value.
   * @throws BangerError `qmp_refused` when QEMU says no, `qmp_timeout`, `qmp_closed`.
   */
  execute(command: string, parameters?: object, deadlineMs?: number): Promise<unknown>;
  onEvent(listener: (event: QmpEvent) => void): void;
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  close(): void;
}

const defaultDeadlineMs = 5_000;
/** The longest line that QEMU may send, in bytes. */
const maximumLine = 1 << 20;
const maximumPending = 64;

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: BangerError) => void;
  timer: Timer;
}

class Connection implements QmpClient {
  readonly closed: Promise<void>;
  readonly greeted: Promise<void>;
  private readonly pending = new Map<number, Pending>();
  private readonly listeners: ((event: QmpEvent) => void)[] = [];
  private parts: Buffer[] = [];
  private buffered = 0;
  private lastId = 0;
  private ended = false;
  private greet: () => void = () => {};

  constructor(
    private readonly socket: Socket,
    private readonly clock: Clock,
  ) {
    this.greeted = new Promise((resolve) => {
      this.greet = resolve;
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.ended = true;
        for (const id of [...this.pending.keys()])
          this.fail(id, "qmp_closed", "QEMU closed its control socket");
        resolve();
      });
    });
    socket.on("error", () => socket.destroy());
    socket.on("data", (data) => this.take(data));
  }

  execute(command: string, parameters: object = {}, deadlineMs = defaultDeadlineMs): Promise<unknown> {
    if (this.ended) return Promise.reject(failure("qmp_closed", "QEMU closed its control socket"));
    if (this.pending.size >= maximumPending)
      return Promise.reject(failure("qmp_busy", `${maximumPending} QMP commands are waiting already`));
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      const timer = this.clock.after(deadlineMs, () =>
        this.fail(id, "qmp_timeout", `QEMU did not answer ${command} in ${deadlineMs} ms`),
      );
      this.pending.set(id, { resolve, reject, timer });
      this.socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    });
  }

  onEvent(listener: (event: QmpEvent) => void): void {
    this.listeners.push(listener);
  }

  close(): void {
    this.socket.destroy();
  }

  private take(data: Buffer): void {
    let rest = data;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...this.parts, rest.subarray(0, end)]).toString("utf8");
      this.parts = [];
      this.buffered = 0;
      rest = rest.subarray(end + 1);
      if (line.trim() !== "") this.message(line);
    }
    this.buffered += rest.length;
    if (this.buffered > maximumLine) this.socket.destroy();
    else if (rest.length > 0) this.parts.push(rest);
  }

  private message(line: string): void {
    let message: Record<string, unknown>;
    try {
      message = JSON.parse(line) as Record<string, unknown>;
    } catch {
      this.socket.destroy();
      return;
    }
    if ("QMP" in message) this.greet();
    else if (typeof message["event"] === "string") {
      const event = { event: message["event"], data: (message["data"] ?? {}) as Record<string, unknown> };
      for (const listener of this.listeners) listener(event);
    } else if (typeof message["id"] === "number") this.answer(message["id"], message);
  }

  private answer(id: number, message: Record<string, unknown>): void {
    const waiting = this.pending.get(id);
    if (waiting === undefined) return;
    if ("error" in message) {
      const { desc } = message["error"] as { desc?: string };
      this.fail(id, "qmp_refused", `QEMU refused: ${desc ?? "no reason given"}`);
      return;
    }
    this.pending.delete(id);
    waiting.timer.cancel();
    waiting.resolve(message["return"]);
  }

  private fail(id: number, code: ErrorCode, text: string): void {
    const waiting = this.pending.get(id);
    this.pending.delete(id);
    waiting?.timer.cancel();
    waiting?.reject(failure(code, text));
  }
}

const failure = (code: ErrorCode, message: string): BangerError =>
  new BangerError(code, message, { retry: "later" });

/**
 * Connects, waits for the greeting and leaves negotiation mode, all within `deadlineMs`.
 * @throws BangerError `qmp_closed` (nothing listens there, or it hung up) or `qmp_timeout`.
 */
export async function connectQmp(
  path: string,
  clock: Clock,
  deadlineMs = defaultDeadlineMs,
): Promise<QmpClient> {
  const socket = connectSocket(path);
  const connection = new Connection(socket, clock);
  let late: Timer | undefined;
  try {
    await Promise.race([
      connection.greeted,
      connection.closed.then(() => Promise.reject(failure("qmp_closed", `nothing answers at ${path}`))),
      new Promise((_, reject) => {
        late = clock.after(deadlineMs, () =>
          reject(failure("qmp_timeout", `QEMU sent no greeting in ${deadlineMs} ms`)),
        );
      }),
    ]);
    await connection.execute("qmp_capabilities", {}, deadlineMs);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    late?.cancel();
  }
}

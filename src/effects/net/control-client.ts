/** A client of a network process: lines over a Unix socket, answered in their order (docs/network-process.md). */
import type { Socket } from "node:net";
import { connectSocket } from "../../host/socket-place.js";
import type { Clock, Timer } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";

const answerMs = 5_000;
const longestLine = 1 << 16;
const mostPending = 64;

/** What a request was answered: `words` of its last line after "ok", and the lines before that. */
export interface NetAnswer {
  words: string[];
  lines: string[];
}

interface Pending {
  lines: string[];
  resolve: (answer: NetAnswer) => void;
  reject: (error: BangerError) => void;
  timer: Timer;
}

/** Why the process refused. */
export class NetRefusal extends BangerError {
  constructor(
    readonly reason: string,
    request: string,
  ) {
    super("network_refused", `the network process refused "${request}": ${reason}`, { retry: "later" });
  }
}

export class NetClient {
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #pending: (Pending & { request: string })[] = [];
  #rest = "";
  #ended = false;

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#ended = true;
        for (const each of this.#pending.splice(0)) {
          each.timer.cancel();
          each.reject(silent("the network process closed its control socket"));
        }
        resolve();
      });
    });
    socket.on("error", () => socket.destroy());
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => this.#take(text));
  }

  /** The lines of one request. @throws BangerError `network_silent`, `network_refused` (a NetRefusal) */
  request(...lines: string[]): Promise<NetAnswer> {
    if (this.#ended || this.#pending.length >= mostPending)
      return Promise.reject(silent("the network process is gone, or too busy to be asked"));
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(answerMs, () => {
        // Its later answers would be taken for those of others.
        this.#socket.destroy();
        reject(silent(`the network process did not answer in ${answerMs} ms`));
      });
      this.#pending.push({ request: lines[0] ?? "", lines: [], resolve, reject, timer });
      this.#socket.write(lines.map((line) => `${line}\n`).join(""));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
    if (this.#rest.length > longestLine) this.#socket.destroy();
  }

  #line(line: string): void {
    const [pending] = this.#pending;
    if (pending === undefined) return this.close();
    const [word, ...words] = line.split(" ");
    if (word !== "ok" && word !== "error") {
      pending.lines.push(line);
      return;
    }
    this.#pending.shift();
    pending.timer.cancel();
    if (word === "ok") pending.resolve({ words, lines: pending.lines });
    else pending.reject(new NetRefusal(words.join(" "), pending.request));
  }
}

const silent = (message: string): BangerError =>
  new BangerError("network_silent", message, { retry: "later" });

/** @throws BangerError `network_silent` where nobody listens, or answers */
export async function connectNet(path: string, clock: Clock): Promise<NetClient> {
  const socket = connectSocket(path);
  const client = new NetClient(socket, clock);
  const { words } = await client.request("hello");
  if (words[0] === "banger-net" && words[1] === "1") return client;
  client.close();
  throw silent(`${path} is not a network process of this banger's`);
}

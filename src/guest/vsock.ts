/** A byte stream to a port of a guest's vsock, by way of the unix socket that Firecracker listens on for it. */
import { createConnection, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { BangerError } from "../lib/errors.js";

/** Firecracker's answer is "OK" and a port number. */
const longestAnswer = 32;
const lineEnd = 10;
/** What waits here for a reader; the rest waits in Firecracker. */
const heldBytes = 16_384;

const refused = (socketPath: string, why: string): BangerError =>
  new BangerError("agent_unreachable", `the guest cannot be reached at ${socketPath}: ${why}`, {
    retry: "later",
  });

/**
 * What is written goes out at once, behind the request for the port; "open" tells that somebody in the guest has
 * taken the stream. It ends permanently when its peer has: nobody is left who would read.
 */
export class VsockStream extends Duplex {
  readonly #socketPath: string;
  readonly #socket: Socket;
  #answer = Buffer.alloc(0);
  #open = false;

  constructor(socketPath: string, port: number) {
    // Few, since the guest may send them one byte by one.
    super({ allowHalfOpen: false, readableHighWaterMark: heldBytes });
    this.#socketPath = socketPath;
    this.#socket = createConnection({ path: socketPath, allowHalfOpen: true });
    this.#socket.write(`CONNECT ${port}\n`);
    this.#socket.on("data", (chunk) => this.#take(chunk));
    this.#socket.on("end", () => this.#end());
    this.#socket.on("error", (error) => this.destroy(refused(this.#socketPath, error.message)));
    this.#socket.on("close", () => this.#end());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, encoding, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(chunk: Buffer): void {
    if (this.#open) {
      if (!this.push(chunk)) this.#socket.pause();
      return;
    }
    this.#answer = Buffer.concat([this.#answer, chunk]);
    const end = this.#answer.indexOf(lineEnd);
    if (end < 0 && this.#answer.length <= longestAnswer) return;
    if (!/^OK \d+$/.test(this.#answer.toString("latin1", 0, end))) {
      this.destroy(refused(this.#socketPath, "the answer is not Firecracker's"));
      return;
    }
    this.#open = true;
    this.emit("open");
    const rest = this.#answer.subarray(end + 1);
    if (rest.length > 0 && !this.push(rest)) this.#socket.pause();
  }

  #end(): void {
    if (this.#open) this.push(null);
    else this.destroy(refused(this.#socketPath, "nothing in the guest listens yet"));
  }
}

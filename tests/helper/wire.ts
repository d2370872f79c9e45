/** Plays the guest behind a tap: sends whole frames into it and reads those that come out. */
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import koffi from "koffi";
import { type Heard, parseFrame } from "./frames.js";

const setInterface = 0x400454ca;
const tapWithoutHeader = 0x0002 | 0x1000;
const longestWaitMs = 10_000;

const ioctl = koffi
  .load("libc.so.6")
  .func("int ioctl(int descriptor, unsigned long request, void *argument)");

export class Wire {
  readonly #descriptor: number;
  readonly heard: Heard[] = [];

  /** Of a tap that is there; what `answer` makes of a frame is sent back. */
  constructor(
    tap: string,
    readonly answer: (heard: Heard) => Buffer | undefined = () => undefined,
  ) {
    this.#descriptor = openSync("/dev/net/tun", constants.O_RDWR | constants.O_NONBLOCK);
    const request = Buffer.alloc(40);
    request.write(tap, "latin1");
    request.writeUInt16LE(tapWithoutHeader, 16);
    if (ioctl(this.#descriptor, setInterface, request) !== 0) throw new Error(`${tap} cannot be opened`);
  }

  send(frame: Buffer): void {
    writeSync(this.#descriptor, frame);
  }

  /** Takes in everything that has arrived. */
  #drain(): void {
    const buffer = Buffer.alloc(2048);
    for (;;) {
      try {
        const length = readSync(this.#descriptor, buffer);
        const heard = parseFrame(Buffer.from(buffer.subarray(0, length)));
        this.heard.push(heard);
        const answer = this.answer(heard);
        if (answer !== undefined) this.send(answer);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "EAGAIN") return;
        throw cause;
      }
    }
  }

  /** The first frame since the last `forget` of which this holds. @throws Error after 10 s; then the test has failed */
  async hears(what: string, holds: (frame: Heard) => boolean): Promise<Heard> {
    for (let waited = 0; waited < longestWaitMs; waited += 5) {
      this.#drain();
      const found = this.heard.find(holds);
      if (found !== undefined) return found;
      await pause(5);
    }
    throw new Error(
      `never arrived: ${what}; but ${JSON.stringify(this.heard.map(({ type, ip }) => [type, ip]))}`,
    );
  }

  /** Whether this is among what has arrived by now. */
  has(holds: (frame: Heard) => boolean): boolean {
    this.#drain();
    return this.heard.some(holds);
  }

  forget(): void {
    this.#drain();
    this.heard.length = 0;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

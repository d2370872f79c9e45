/** What follows one stub VMM. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { truncate } from "node:fs/promises";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { VmmControl } from "../../../src/effects/vmm/control.js";
import type { DiskName, Hooks } from "../../../src/effects/vmm/vmm.js";
import type { VmHandles } from "../../../src/home/handles.js";
import type { ProcessExit, ProcessIdentity } from "../../../src/model/model.js";
import { type Request, stubFiles } from "./signs.js";

export class StubControl extends VmmControl {
  readonly guest = "runs";
  readonly pause = undefined;
  readonly disks = { root: "root", work: "work" };
  readonly #handles: VmHandles;
  readonly #signal: Promise<string | null> | undefined;

  /** `signal`: by which it ended, where it is this daemon's child. */
  constructor(handles: VmHandles, identity: ProcessIdentity, hooks: Hooks, signal?: Promise<string | null>) {
    super(identity, hooks);
    this.#handles = handles;
    this.#signal = signal;
  }

  /** Rejects where nothing listens. */
  async ask(request: Request): Promise<void> {
    const socket = connect(`${this.#handles.runtime}/${stubFiles.control}`);
    await once(socket, "connect");
    socket.write(`${JSON.stringify(request)}\n`);
    await text(socket);
  }

  async resize(disk: DiskName, sizeBytes: number): Promise<void> {
    const { workDisk, rootDisk } = this.#handles;
    if (disk === "work") await truncate(workDisk, sizeBytes);
    else await promisify(execFile)("qemu-img", ["resize", "-f", "qcow2", rootDisk, `${sizeBytes}`]);
  }

  async resume(): Promise<void> {}

  async powerButton(): Promise<void> {
    await this.ask({ do: "power" }).catch(() => {});
  }

  protected async kill(): Promise<void> {
    process.kill(this.identity.pid, "SIGKILL");
  }

  /** A connection on which nothing is said: it ends with the process. */
  protected async session(): Promise<boolean> {
    const socket = connect(`${this.#handles.runtime}/${stubFiles.control}`);
    // What breaks off has ended, too.
    socket.on("error", () => socket.destroy());
    this.stopped.signal.addEventListener("abort", () => socket.destroy());
    try {
      await once(socket, "connect");
      await this.ask({ do: "hello" });
      if (!socket.destroyed) await once(socket.resume(), "close");
      return true;
    } catch {
      socket.destroy();
      return false;
    }
  }

  protected async explainExit(): Promise<ProcessExit> {
    if (this.asked) return { reason: "asked", detail: "it was ended as asked" };
    const signal = await this.#signal;
    if (signal === null) return { reason: "guest", detail: "the guest powered off" };
    return { reason: "lost", detail: `it was ended by ${signal ?? "nobody knows whom"}` };
  }
}

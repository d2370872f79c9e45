/** The ways to a builder: a child of this daemon, or, in system mode, one that systemd starts for a connection. */
import { spawn } from "node:child_process";
import { createConnection } from "node:net";
import { PassThrough, type Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { toolEnvironment } from "../../host/run-tool.js";
import { BangerError } from "../../lib/errors.js";
import type { BuildJob, CleaningJob } from "../make/job.js";

export interface Builder {
  /** Its reports, one a line. */
  output: Readable;
  /** How it ended; rejected where it could not be started. */
  ended: Promise<string>;
  /** The builder of a connection says who it is before all else; that of a child needs not be told. */
  is(pid: number): void;
  /** Asks it to end, also when it is not known yet who it is. */
  stop(): void;
}

const builderProgram = fileURLToPath(new URL("./main.js", import.meta.url));

/** A builder with this job. `socket` is that of systemd's builders, null to start one as a child. */
export const startBuilder = (
  job: BuildJob | CleaningJob,
  searchPath: string,
  socket: string | null,
): Builder => (socket === null ? childBuilder(job, searchPath) : connectedBuilder(job, socket));

function childBuilder(job: BuildJob | CleaningJob, searchPath: string): Builder {
  const child = spawn(process.execPath, [builderProgram], {
    detached: true,
    cwd: "/",
    env: toolEnvironment(searchPath),
    stdio: ["pipe", "pipe", "ignore"],
  });
  child.stdin.on("error", () => undefined);
  child.stdin.end(JSON.stringify(job));
  const ended = new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(signal ?? `status ${code}`));
  });
  return { output: child.stdout, ended, is() {}, stop: () => void child.kill("SIGTERM") };
}

function connectedBuilder(job: BuildJob | CleaningJob, path: string): Builder {
  const socket = createConnection({ path, allowHalfOpen: true });
  const ended = new Promise<string>((resolve, reject) => {
    socket.once("error", (cause) => {
      const message = `no image builder answers at ${path}: ${cause.message}`;
      const hint = "systemctl status banger-builder.socket";
      reject(new BangerError("builder_unreachable", message, { hint, retry: "later", cause }));
    });
    socket.once("close", () => resolve("a closed connection"));
  });
  // A connection that was never made has no end of its own, and its reader would wait for one.
  const output = new PassThrough();
  socket.pipe(output, { end: false });
  socket.once("close", () => output.end());
  socket.end(JSON.stringify(job));
  let pid: number | undefined;
  let stopping = false;
  const signal = () => {
    if (pid === undefined || !stopping || socket.destroyed) return;
    try {
      process.kill(pid, "SIGTERM");
    } catch {
      // It has ended by itself.
    }
  };
  return {
    output,
    ended,
    is(known) {
      pid = known;
      signal();
    },
    stop() {
      stopping = true;
      signal();
    },
  };
}

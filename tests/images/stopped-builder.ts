/** Stops an image's builder at one system call of its choice, so that what comes after finds it exactly there. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { until } from "../e2e/harness.js";

/** After which call the builder is stopped. */
export interface Call {
  /** As strace has them, with commas between. */
  names: string;
  /** Only the calls of the thread that runs the program, not of those that wait for the disk in its place. */
  thread?: "main";
  /** Which of a thread's calls, from 1. */
  turn?: number;
}

interface StoppedBuilder {
  /** Resolves when the builder stands still, and is not traced any more. */
  stopped(): Promise<void>;
  /** Ends the tracing, however far it has come. */
  leave(): Promise<void>;
}

const statusOf = (path: string, key: string): string =>
  new RegExp(`^${key}:\\s*(\\S+)`, "m").exec(readFileSync(`${path}/status`, "utf8"))?.[1] ?? "";

/** From when this resolves on, the builder whose process is `pid` is stopped after that call. */
export async function stopBuilderAt(pid: number, { names, thread, turn = 1 }: Call): Promise<StoppedBuilder> {
  const what = ["-e", `trace=${names}`, "-e", `inject=${names}:signal=STOP:when=${turn}`];
  const which = [...(thread === "main" ? [] : ["-f"]), "-p", `${pid}`];
  const strace = spawn("strace", ["-qq", ...what, ...which], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(strace, "exit");
  let said = "";
  strace.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString("latin1");
  });
  const threads = () => (thread === "main" ? [`${pid}`] : readdirSync(`/proc/${pid}/task`));
  await until("strace has the builder", () => {
    if (strace.exitCode !== null) throw new Error(`strace: ${said}`);
    return threads().every((id) => statusOf(`/proc/${pid}/task/${id}`, "TracerPid") === `${strace.pid}`);
  });
  const leave = async () => {
    strace.kill("SIGTERM");
    await ended;
  };
  return {
    leave,
    async stopped() {
      await until("the builder is stopped", () => said.includes("--- stopped by SIGSTOP ---"));
      await leave();
      await until("it stays so", () =>
        threads().every((id) => statusOf(`/proc/${pid}/task/${id}`, "State") === "T"),
      );
    },
  };
}

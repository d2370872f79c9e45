/** Runs one short-lived host tool by argv, with a deadline and a bound on its output. */
import { execFile } from "node:child_process";
import { BangerError } from "../errors.js";
import { toolError } from "./host-error.js";

export interface ToolRun {
  /** A name looked up in PATH and in the sbin directories (which an ordinary PATH lacks), or a path. */
  tool: string;
  argv: readonly string[];
  /** What the tool writes; names the disk when it is full. */
  writes: string;
  /** The Debian package that has the tool. */
  package: string;
  signal: AbortSignal;
}

const deadlineMs = 60_000;
const maximumOutput = 1 << 20;

const missing = (run: ToolRun): BangerError =>
  new BangerError(
    run.tool.includes("qemu") ? "qemu_missing" : "tool_missing",
    `${run.tool} is not installed`,
    { hint: `apt-get install ${run.package}` },
  );

function runAt(file: string, run: ToolRun): Promise<string> {
  const options = {
    timeout: deadlineMs,
    killSignal: "SIGKILL",
    maxBuffer: maximumOutput,
    signal: run.signal,
  } as const;
  return new Promise((resolve, reject) => {
    const child = execFile(file, [...run.argv], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (error.code === "ENOENT" || error.name === "AbortError") reject(error);
      else reject(toolError(run.tool, stderr, run.writes, error));
    });
    child.stdin?.end();
  });
}

/**
 * Resolves with the tool's standard output.
 * @throws BangerError `qemu_missing` or `tool_missing`, `disk_full`, `tool_failed` with the tool's last line.
 */
export async function runTool(run: ToolRun): Promise<string> {
  const files = run.tool.includes("/")
    ? [run.tool]
    : [run.tool, `/usr/sbin/${run.tool}`, `/sbin/${run.tool}`];
  for (const file of files) {
    try {
      return await runAt(file, run);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  throw missing(run);
}

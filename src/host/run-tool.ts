/** Runs one short-lived host tool by argv, with a deadline and a bound on its output. */
import { execFile } from "node:child_process";
import { BangerError } from "../lib/errors.js";
import { toolError } from "./host-error.js";

interface ToolRun {
  /** A name looked up in the search path and in the sbin directories (which an ordinary PATH lacks), or a path. */
  tool: string;
  argv: readonly string[];
  /** What the tool writes; names the disk when it is full. */
  writes: string;
  /** The Debian package that has the tool. */
  package: string;
  /** What the tool needs to know beside where tools are. */
  env?: Readonly<Record<string, string>>;
  /** Where it runs; what it is told by relative names lies there. */
  cwd?: string;
  /** Exit statuses that are not failures; only 0 by default. */
  goodStatus?: readonly number[];
  signal: AbortSignal;
  /** How long it may take; a minute unless told. */
  deadlineMs?: number;
}

const usualDeadlineMs = 60_000;
const maximumOutput = 1 << 20;

/** A program that is nowhere in `searchPath`, which is the first caller's and may lack what a later one's has. */
export const programMissing = (program: string, packageName: string, searchPath: string): BangerError =>
  new BangerError(
    program.includes("qemu") ? "qemu_missing" : "tool_missing",
    `${program} is not in the daemon's PATH (${searchPath})`,
    { hint: `apt-get install -y ${packageName}; or, where this shell finds it: banger daemon stop` },
  );

/**
 * Resolves with the tool's standard output.
 * @throws BangerError `qemu_missing` or `tool_missing`, `disk_full`, `tool_failed` with the tool's last line.
 */
export type RunTool = (run: ToolRun) => Promise<string>;

/** The environment of everything that banger starts: where tools are, and messages in the language we match. */
export const toolEnvironment = (searchPath: string): Record<string, string> => ({
  PATH: `${searchPath}:/usr/sbin:/sbin`,
  LC_ALL: "C.UTF-8",
});

/** Runs tools found in `searchPath` (as in PATH), with nothing in their environment but that and what is asked for. */
export function toolRunner(searchPath: string): RunTool {
  const env = toolEnvironment(searchPath);
  return (run) => {
    const options = {
      env: { ...env, ...run.env },
      ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
      timeout: run.deadlineMs ?? usualDeadlineMs,
      killSignal: "SIGKILL",
      maxBuffer: maximumOutput,
      signal: run.signal,
    } as const;
    return new Promise((resolve, reject) => {
      const child = execFile(run.tool, [...run.argv], options, (error, stdout, stderr) => {
        if (error === null || run.goodStatus?.includes(error.code as number)) resolve(stdout);
        else if (error.code === "ENOENT") reject(programMissing(run.tool, run.package, searchPath));
        else if (run.signal.aborted) reject(run.signal.reason);
        else reject(toolError(run.tool, stderr, run.writes, error));
      });
      child.stdin?.end();
    });
  };
}

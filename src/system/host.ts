/** What installing system mode and taking it away touch of the host: systemd, accounts, places, helper and daemon. */
import { execFile } from "node:child_process";
import type { MethodName, Params, Result } from "../../helper/contract.js";
import type { Client } from "../client/client.js";
import type { systemHandles } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";

export interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs a program of the host to its end, whatever its status. @throws BangerError `tool_missing`, `tool_failed` */
export type RunProgram = (program: string, argv: readonly string[]) => Promise<Ended>;

export type AskHelper = <M extends MethodName>(method: M, params: Params<M>) => Promise<Result<M>>;

export interface SystemHost {
  env: NodeJS.ProcessEnv;
  places: ReturnType<typeof systemHandles>;
  run: RunProgram;
  ask: AskHelper;
  daemon: Client;
  /** Tells that something begins, and runs it. */
  stage<T>(label: string, work: () => Promise<T>): Promise<T>;
  /** Tells something beside the stages. */
  note(text: string): void;
}

const deadlineMs = 120_000;
const longestOutput = 1 << 20;

/** Runs programs found in PATH of this environment, for messages in English. */
export const programRunner =
  (env: NodeJS.ProcessEnv): RunProgram =>
  (program, argv) =>
    new Promise((resolve, reject) => {
      const options = {
        env: { ...env, LC_ALL: "C.UTF-8" },
        timeout: deadlineMs,
        maxBuffer: longestOutput,
      };
      const child = execFile(program, [...argv], options, (error, stdout, stderr) => {
        if (error === null) resolve({ status: 0, stdout, stderr });
        else if (error.code === "ENOENT")
          reject(new BangerError("tool_missing", `${program} is not installed`, { cause: error }));
        else if (typeof error.code === "number") resolve({ status: error.code, stdout, stderr });
        else
          reject(
            new BangerError("tool_failed", `${program} ${argv.join(" ")}: ${error.message}`, {
              cause: error,
            }),
          );
      });
      child.stdin?.end();
    });

/** Runs systemctl, which has to succeed. @throws BangerError `systemd_failed` with its last line */
export async function systemctl({ run }: Pick<SystemHost, "run">, ...argv: string[]): Promise<Ended> {
  const ended = await run("systemctl", ["--no-ask-password", ...argv]);
  if (ended.status === 0) return ended;
  const said = ended.stderr.trim().split("\n").at(-1) || `status ${ended.status}`;
  throw new BangerError("systemd_failed", `systemctl ${argv.join(" ")}: ${said}`, {
    hint: `systemctl status ${argv.at(-1)}; journalctl -xe`,
  });
}

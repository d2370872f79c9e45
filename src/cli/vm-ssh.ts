/** `banger vm ssh`: OpenSSH, with the user's banger key and the host key that banger pinned. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import type { SshView } from "../contract.js";
import { BangerError } from "../errors.js";
import { shellQuote } from "../shell.js";
import { command, oneRef } from "./command.js";
import { call } from "./context.js";

/** The arguments of `ssh`. Nothing of the user's own configuration takes part. */
export function sshArguments(view: SshView, guestCommand: readonly string[]): string[] {
  const options = {
    UserKnownHostsFile: `"${view.knownHostsPath}"`,
    GlobalKnownHostsFile: "/dev/null",
    HostKeyAlias: view.hostKeyAlias,
    StrictHostKeyChecking: "yes",
    UpdateHostKeys: "no",
    IdentitiesOnly: "yes",
    LogLevel: "ERROR",
  };
  return [
    ...["-F", "none", "-i", view.keyPath, "-p", String(view.port)],
    ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    `${view.user}@${view.address}`,
    ...(guestCommand.length === 0 ? [] : ["--", guestCommand.map(shellQuote).join(" ")]),
  ];
}

export const ssh = command({
  summary: "Open an SSH session to a VM, or run a command over SSH",
  usage: "REF [-- CMD…]",
  examples: ["banger vm ssh box", "banger vm ssh box -- journalctl -b"],
  words: oneRef,
  takesCommand: true,
  guestStatus: true,
  flags: {},
  async run(_flags, { context, words, command: guestCommand }) {
    const view = await call(context, "vmSsh", { ref: words[0] ?? "" });
    // Ctrl-C belongs to ssh now, which gets it from the terminal itself.
    const release = context.interrupts.take(() => undefined);
    try {
      return await runSsh(sshArguments(view, guestCommand ?? []), context.env);
    } finally {
      release();
    }
  },
});

function runSsh(argv: string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn("ssh", argv, { stdio: "inherit", env });
    child.once("error", (cause: NodeJS.ErrnoException) => {
      const missing = cause.code === "ENOENT";
      const message = missing ? "ssh is not installed" : `ssh could not be started: ${cause.message}`;
      reject(new BangerError("ssh_missing", message, { hint: "sudo apt-get install openssh-client", cause }));
    });
    child.once("exit", (status, signal) => {
      resolve(signal === null ? (status ?? 1) : 128 + constants.signals[signal]);
    });
  });
}

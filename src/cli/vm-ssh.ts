/** `banger vm ssh`: OpenSSH, with the user's banger key and the host key that banger pinned. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import type { SshView } from "../contract-guest.js";
import { BangerError } from "../errors.js";
import { shellQuote } from "../shell.js";
import { command, oneRef } from "./command.js";
import { call } from "./context.js";
import { guestEnded } from "./lost-session.js";

const forms: Readonly<Record<keyof SshView, RegExp>> = {
  user: /^[a-z_][a-z0-9_-]{0,31}$/,
  address: /^\d{1,3}(\.\d{1,3}){3}$/,
  port: /^\d{1,5}$/,
  keyPath: /^\/[^\0\r\n]*$/,
  knownHostsPath: /^\/[^\0\r\n"]*$/,
  hostKeyAlias: /^[0-9a-f]{8}\.banger$/,
};

/** What the daemon says of the way to a guest, once it can be nothing else. @throws BangerError `bad_reply` */
export function checkedView(view: SshView): SshView {
  for (const name of Object.keys(forms) as (keyof SshView)[]) {
    if (forms[name].test(String(view[name]))) continue;
    const message = `the daemon's reply makes no sense: ${name} is ${JSON.stringify(view[name])}`;
    throw new BangerError("bad_reply", message, { hint: "banger daemon stop, then the same command" });
  }
  return view;
}

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
    "--",
    `${view.user}@${view.address}`,
    ...(guestCommand.length === 0 ? [] : ["--", guestCommand.map(shellQuote).join(" ")]),
  ];
}

/** What ssh ends with when its connection broke, among other troubles of its own. */
const lostStatus = 255;

export const ssh = command({
  summary: "Open an SSH session to a VM, or run a command over SSH",
  usage: "REF [-- CMD…]",
  examples: ["banger vm ssh box", "banger vm ssh box -- journalctl -b"],
  words: oneRef,
  takesCommand: true,
  guestStatus: true,
  flags: {},
  async run(_flags, { context, words, command: guestCommand }) {
    const view = checkedView(await call(context, "vmSsh", { ref: words[0] ?? "" }));
    // Ctrl-C belongs to ssh now, which gets it from the terminal itself.
    const release = context.interrupts.take(() => undefined);
    const begun = context.clock.now();
    try {
      const status = await runSsh(sshArguments(view, guestCommand ?? []), context.env);
      const ended = status === lostStatus ? await guestEnded(context, words[0] ?? "", begun) : undefined;
      if (ended !== undefined) throw ended;
      return status;
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

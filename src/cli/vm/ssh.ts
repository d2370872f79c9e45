/** `banger vm ssh`: OpenSSH, with the user's banger key and the host key that banger pinned. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import type { SshView } from "../../contract/guest.js";
import { sshPath } from "../../home/ssh-config.js";
import { BangerError } from "../../lib/errors.js";
import { shellQuote } from "../../lib/shell.js";
import { usageError } from "../base/check.js";
import { command, oneRef } from "../base/command.js";
import { call } from "../base/context.js";
import { guestEnded } from "./lost-session.js";

const forms: Readonly<Record<keyof SshView, RegExp>> = {
  user: /^[a-z_][a-z0-9_-]{0,31}$/,
  address: /^\d{1,3}(\.\d{1,3}){3}$/,
  port: /^\d{1,5}$/,
  keyPath: /^\/[^\0\r\n]*$/,
  knownHostsPath: /^\/[^\0\r\n]*$/,
  hostKeyAlias: /^[0-9a-f]{8}\.banger$/,
};

/** What the daemon says of the way to a guest, once it can be nothing else. @throws BangerError `bad_reply` */
export function checkedView(view: SshView): SshView {
  for (const name of Object.keys(forms) as (keyof SshView)[]) {
    if (forms[name].test(String(view[name]))) continue;
    const message = `the daemon's reply is invalid: ${name} is ${JSON.stringify(view[name])}`;
    throw new BangerError("bad_reply", message, { hint: "banger daemon stop, then the same command" });
  }
  return view;
}

/** A shell asked for by name is a login shell without the guest's words of welcome. */
const quietShell = 'exec "${SHELL:-/bin/sh}" -l';

/** Options that are passed to `ssh` unchanged, by the flags' names. */
export interface SshOptions {
  /** Each with its value. */
  values: Readonly<Record<string, readonly string[]>>;
  switches: readonly string[];
}

/** The arguments of `ssh`. Nothing of the user's own configuration takes part, and of two values the first counts. */
export function sshArguments(
  view: SshView,
  guestCommand: readonly string[],
  { values, switches }: SshOptions = { values: {}, switches: [] },
): string[] {
  const options = {
    UserKnownHostsFile: sshPath(view.knownHostsPath),
    GlobalKnownHostsFile: "/dev/null",
    HostKeyAlias: view.hostKeyAlias,
    StrictHostKeyChecking: "yes",
    UpdateHostKeys: "no",
    IdentitiesOnly: "yes",
    LogLevel: "ERROR",
  };
  return [
    ...["-F", "none", "-i", view.keyPath.replaceAll("%", "%%"), "-p", String(view.port)],
    ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    ...Object.entries(values).flatMap(([name, given]) => given.flatMap((value) => [`-${name}`, value])),
    ...switches.map((name) => `-${name}`),
    ...(guestCommand.length === 0 && !switches.includes("N") ? ["-t"] : []),
    "--",
    `${view.user}@${view.address}`,
    // The first `--` ended the options: a second one would be the first word of the command.
    ...(switches.includes("N") ? [] : [guestCommand.map(shellQuote).join(" ") || quietShell]),
  ];
}

/** What ssh ends with when its connection broke, among other troubles of its own. */
const lostStatus = 255;

export const ssh = command({
  summary: "Open an SSH session to a VM, or run a command over SSH",
  usage: "REF [flags] [-- CMD…]",
  examples: [
    "banger vm ssh box",
    "banger vm ssh box -- journalctl -b",
    "banger vm ssh box -L 8080:localhost:80 -N",
  ],
  words: oneRef,
  takesCommand: true,
  guestStatus: true,
  withoutJson: "its output is OpenSSH's",
  flags: {
    L: { type: "string", valueHint: "FORWARD", description: "As in ssh: forward a host port to the guest" },
    R: { type: "string", valueHint: "FORWARD", description: "As in ssh: forward a guest port to the host" },
    D: { type: "string", valueHint: "PORT", description: "As in ssh: a SOCKS proxy on this host" },
    o: { type: "string", valueHint: "OPTION", description: "As in ssh: any other option" },
    N: { type: "boolean", description: "As in ssh: no shell, only forwards" },
    A: { type: "boolean", description: "As in ssh: forward your SSH agent to the guest" },
  },
  async run(flags, { context, words, all, command: guestCommand }) {
    const switches = (["N", "A"] as const).filter((name) => flags[name] === true);
    if (flags.N === true && guestCommand !== undefined)
      throw usageError("-N cannot be combined with a command", "banger vm ssh REF -L FORWARD -N");
    const view = checkedView(await call(context, "vmSsh", { ref: words[0] ?? "" }));
    // Ctrl-C belongs to ssh now, which gets it from the terminal itself.
    const release = context.interrupts.take(() => undefined);
    const begun = context.clock.now();
    try {
      const status = await runSsh(
        sshArguments(view, guestCommand ?? [], { values: all, switches }),
        context.env,
      );
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

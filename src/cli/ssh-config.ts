/** `banger ssh-config`, and the proxy that what it writes leads to. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { homedir } from "node:os";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { loadConfig } from "../config/config.js";
import { homeHandles, userSshConfig } from "../home/handles.js";
import { bangerSshConfig, includeLine, isIncluded, withInclude, withoutInclude } from "../home/ssh-config.js";
import { sshKeyOf } from "../host/home.js";
import { BangerError } from "../lib/errors.js";
import { usageError } from "./base/check.js";
import { command } from "./base/command.js";
import { answer, type Context, call, say } from "./base/context.js";
import { checkedView } from "./vm/ssh.js";

const program = fileURLToPath(new URL("../../../bin/banger", import.meta.url));

export const sshConfig = command({
  summary: "Write an SSH configuration so that plain ssh reaches `<name>.vm`; --install includes it in yours",
  usage: "[flags]",
  examples: ["banger ssh-config --install", "banger ssh-config --uninstall", "banger ssh-config"],
  flags: {
    install: { type: "boolean", description: "Include it in ~/.ssh/config" },
    uninstall: { type: "boolean", description: "Remove it from ~/.ssh/config" },
  },
  async run(flags, { context }) {
    if (flags.install && flags.uninstall) {
      throw usageError("--install and --uninstall cannot be combined", "banger ssh-config --install");
    }
    const userHome = context.env["HOME"] || homedir();
    const { sshConfig: own } = homeHandles(context.home);
    const users = userSshConfig(userHome);
    if (flags.uninstall) {
      takeOut(users);
      rmSync(own, { force: true });
      await answer(context, { file: own, users, included: false }, `${users} is unchanged\n`);
      return 0;
    }
    writeOwn(context, own, userHome);
    if (flags.install) {
      putIn(users, own);
      await answer(context, { file: own, users, included: true }, `${users} includes ${own}: ssh NAME.vm\n`);
      return 0;
    }
    const included = isIncluded(textOf(users) ?? "");
    await answer(context, { file: own, users, included }, readFileSync(own, "utf8"));
    say(
      context,
      included ? `${users} includes it` : `ssh -F ${own} NAME.vm, or: banger ssh-config --install`,
    );
    return 0;
  },
});

function writeOwn(context: Context, path: string, userHome: string): void {
  const { configFile, knownHosts } = homeHandles(context.home);
  const keyPath = sshKeyOf(context.home, loadConfig(configFile).sshKeyPath, userHome);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  replace(path, asBytes(bangerSshConfig({ keyPath, knownHostsPath: knownHosts, program })), 0o600);
}

/** Text of ours among bytes that are kept as Latin-1 characters. */
const asBytes = (text: string): string => Buffer.from(text).toString("latin1");

function putIn(users: string, own: string): void {
  const before = textOf(users);
  const put = (tokens: boolean): void => {
    const after = withInclude(before, asBytes(includeLine(own, tokens)), users);
    if (after === before) return;
    if (before === null) mkdirSync(dirname(users), { recursive: true, mode: 0o700 });
    rewrite(users, after);
  };
  put(false);
  if (own.includes("%") && !isRead(users)) put(true);
}

/** Whether OpenSSH finds banger's configuration through the user's. */
function isRead(users: string): boolean {
  const { stdout } = spawnSync("ssh", ["-G", "-F", users, "--", "banger.vm"], { encoding: "utf8" });
  return /^proxycommand .* ssh-proxy /m.test(stdout ?? "");
}

function takeOut(users: string): void {
  const before = textOf(users);
  if (before === null) return;
  const after = withoutInclude(before, users);
  if (after === null) rmSync(users);
  else if (after !== before) rewrite(users, after);
}

/** The file's bytes as Latin-1 characters, or null where there is none. */
function textOf(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new BangerError("ssh_config_unreadable", `cannot read ${path}: ${(error as Error).message}`, {
      hint: `ls -l ${path}`,
    });
  }
}

/** A link stays a link: what it leads to is written anew, with the mode that it has. */
function rewrite(path: string, text: string): void {
  let target = path;
  let mode = 0o600;
  try {
    target = realpathSync(path);
    mode = statSync(target).mode & 0o777;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  replace(target, text, mode);
}

/** The file appears as a whole or stays as it is. */
function replace(path: string, text: string, mode: number): void {
  const temporary = `${path}.banger-new`;
  try {
    writeFileSync(temporary, text, { encoding: "latin1", mode });
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    const message = `cannot write ${path}: ${(cause as Error).message}`;
    throw new BangerError("ssh_config_unwritable", message, { hint: `ls -ld ${dirname(path)}`, cause });
  }
}

const suffix = /\.vm$/i;

export const sshProxy = command({
  summary: "Carry one SSH connection to a VM; used by the configuration that `banger ssh-config` writes",
  usage: "NAME.vm",
  examples: ["ssh -o 'ProxyCommand banger ssh-proxy %h' root@box.vm"],
  words: { min: 1, max: 1, name: "NAME.vm" },
  withoutJson: "it carries raw bytes",
  flags: {},
  async run(_flags, { context, words: [host = ""] }) {
    const ref = host.toLowerCase().replace(suffix, "");
    const { address, port } = checkedView(await call(context, "vmSsh", { ref }));
    const socket = connect({ host: address, port, allowHalfOpen: true });
    // ssh has gone, or the guest has: either way the other learns of it by the end of its stream.
    await Promise.all([
      pipeline(context.stdin, socket),
      pipeline(socket, context.stdout, { end: false }),
    ]).catch(() => undefined);
    return 0;
  },
});

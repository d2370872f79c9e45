/** SSH identities: the home's own key, each guest's host key, and the known_hosts that pins the latter. */
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type Home, homeHandles, isVmId, vmHandles } from "../../home/handles.js";
import { exists, publish, publishContent, temporaryName } from "../../host/publish.js";
import type { RunTool } from "../../host/run-tool.js";
import { sharedRun } from "../../host/shared-run.js";
import { BangerError } from "../../lib/errors.js";
import type { VmId } from "../../model/model.js";

/** Makes an ed25519 key at `path` unless it is there; a lost public half is derived again. */
async function ensureKey(
  runTool: RunTool,
  path: string,
  comment: string,
  signal: AbortSignal,
): Promise<void> {
  const base = { tool: "ssh-keygen", writes: path, package: "openssh-client", signal };
  if (await exists(path)) {
    if (await exists(`${path}.pub`)) return;
    const derived = await runTool({ ...base, argv: ["-y", "-f", path] });
    return publishContent(`${path}.pub`, derived, 0o644);
  }
  const temporary = temporaryName(path);
  await rm(temporary, { force: true });
  await rm(`${temporary}.pub`, { force: true });
  await runTool({ ...base, argv: ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", temporary] });
  await rename(`${temporary}.pub`, `${path}.pub`);
  await publish(path);
}

/** The pinning line of one guest, from its public key file, whose comment is the guest's name. */
function knownHostsLine(alias: string, publicKey: string): string {
  const [type, key, name] = publicKey.trim().split(/\s+/);
  return `${alias}${name === undefined ? "" : `,${name}`} ${type} ${key}`;
}

async function writeKnownHosts(home: Home): Promise<void> {
  const { vms, knownHosts } = homeHandles(home);
  const lines: string[] = [];
  await mkdir(vms, { recursive: true, mode: 0o700 });
  for (const id of (await readdir(vms)).filter(isVmId).sort()) {
    const handles = vmHandles(home, id);
    try {
      lines.push(knownHostsLine(handles.hostKeyAlias, await readFile(`${handles.hostKey}.pub`, "utf8")));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  await mkdir(dirname(knownHosts), { recursive: true, mode: 0o700 });
  await publishContent(knownHosts, lines.map((line) => `${line}\n`).join(""), 0o600);
}

export interface SshKeys {
  /** The home's own key, made on first use; yields the public half. */
  ensureHomeKey(signal: AbortSignal): Promise<string>;
  /** The guest's host key, made once for each VM; its comment is `hostName`, which it is pinned under too. */
  ensureHostKey(
    id: VmId,
    hostName: string,
    signal: AbortSignal,
  ): Promise<{ hostKey: string; hostKeyPublic: string }>;
  /** Writes known_hosts anew from the host keys that are there. */
  refreshKnownHosts(): Promise<void>;
}

/** The public half of a key that is the user's own, and that banger neither makes nor changes. */
async function publicHalf(runTool: RunTool, path: string, signal: AbortSignal): Promise<string> {
  try {
    if (await exists(`${path}.pub`)) return await readFile(`${path}.pub`, "utf8");
    const argv = ["-y", "-P", "", "-f", path];
    return await runTool({ tool: "ssh-keygen", argv, writes: path, package: "openssh-client", signal });
  } catch (cause) {
    signal.throwIfAborted();
    const message = `ssh_key_path: ${path}.pub cannot be read or made: ${(cause as Error).message}`;
    throw new BangerError("ssh_key_unusable", message, { hint: `ssh-keygen -t ed25519 -f ${path}`, cause });
  }
}

/**
 * The keys of one home. Many VMs made at once share one making of the home key and few of known_hosts.
 * `own` is the user's own private key, which then takes the place of the one that banger would make.
 */
export function sshKeys(home: Home, runTool: RunTool, own: string | null): SshKeys {
  const { sshKey } = homeHandles(home);
  let making: Promise<void> | undefined;
  return {
    async ensureHomeKey(signal) {
      if (own !== null) return publicHalf(runTool, own, signal);
      await mkdir(dirname(sshKey), { recursive: true, mode: 0o700 });
      making ??= ensureKey(runTool, sshKey, "banger", signal).finally(() => {
        making = undefined;
      });
      await making;
      return readFile(`${sshKey}.pub`, "utf8");
    },
    async ensureHostKey(id, hostName, signal) {
      const { hostKey } = vmHandles(home, id);
      await ensureKey(runTool, hostKey, hostName, signal);
      return {
        hostKey: await readFile(hostKey, "utf8"),
        hostKeyPublic: await readFile(`${hostKey}.pub`, "utf8"),
      };
    },
    refreshKnownHosts: sharedRun(() => writeKnownHosts(home)),
  };
}

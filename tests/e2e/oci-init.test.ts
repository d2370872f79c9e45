/** An image's own init is kept; one without gets an init and sshd at its first boot, from the distribution's archive. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { debianTar, hostSources, pushLayers } from "../images/debian-layers.js";
import { type RealRegistry, startRegistry } from "../images/real-registry.js";
import { tar } from "../images/tar-maker.js";
import { TestHome, until } from "./harness.js";

const size = ["--memory", "1G", "--vcpu", "2"];
let home: TestHome;
let registry: RealRegistry;

before(async () => {
  home = new TestHome((root) => ({ XDG_DATA_HOME: join(root, "data") }));
  mkdirSync(join(home.root, "registry"));
  registry = await startRegistry(join(home.root, "registry"));
});

after(async () => {
  await home.dispose();
  await registry.stop();
});

const push = async (name: string, ...layers: string[]): Promise<string> => {
  await pushLayers(home.root, registry.host, name, layers);
  return `${registry.host}/${name}`;
};

/** What a shell in the guest says over SSH; undefined while it cannot be reached so. */
async function overSsh(vm: string, script: string): Promise<string | undefined> {
  const { status, stdout } = await home.run(["vm", "ssh", vm, "--", "sh", "-c", script], {
    timeoutMs: 60_000,
  });
  if (status !== 0) assert.equal((await home.vm(vm)).phase, "running");
  return status === 0 ? stdout : undefined;
}

const script = "cat /proc/1/comm; /usr/sbin/sshd -T | grep -E '^(passwordauth|permitroot)' | sort";

/** Waits until sshd answers; what the guest says of its first process, and of sshd's configuration. */
async function initOverSsh(vm: string, deadlineMs: number): Promise<string[]> {
  let said: string | undefined;
  await until(
    `${vm} answers over SSH`,
    async () => {
      said = await overSsh(vm, script);
      return said !== undefined;
    },
    deadlineMs,
  );
  return (said ?? "").trim().split("\n");
}

const reached = ["systemd", "passwordauthentication no", "permitrootlogin without-password"];

test("an image with an init and sshd of its own boots into them, and is reached over SSH", async () => {
  const reference = await push("acme/systemd:1", await debianTar("systemd-sysv", "openssh-server"));
  await home.ok("vm", "run", "-d", "--name", "own", "--image", reference, ...size);
  assert.deepEqual(await initOverSsh("own", 120_000), reached);
  const { status } = await home.run(["vm", "exec", "own", "--", "test", "-e", "/usr/lib/banger/first-boot"]);
  assert.equal(status, 1, "what the image does not need is not put into it");
  await home.ok("vm", "delete", "own");
});

test("an image without an init answers at once, installs systemd and sshd, and is reached over SSH from then on", {
  skip: process.env["BANGER_TEST_FIRST_BOOT"] ? false : "BANGER_TEST_FIRST_BOOT=1 runs it: it takes minutes",
}, async () => {
  const { list } = await hostSources();
  const sources = join(home.root, "sources.tar");
  writeFileSync(sources, tar([{ name: "etc/apt/sources.list", data: list }]));
  const reference = await push("acme/minbase:1", await debianTar(), sources);
  await home.ok("vm", "run", "-d", "--name", "bare", "--image", reference, ...size);
  assert.match(await home.ok("vm", "exec", "bare", "--", "cat", "/proc/1/comm"), /^(sh|first-boot)$/m);
  assert.deepEqual(await initOverSsh("bare", 900_000), reached);
  await home.ok("vm", "restart", "bare");
  assert.deepEqual(await initOverSsh("bare", 120_000), reached, "the second boot has nothing to install");
  assert.doesNotMatch(await home.ok("vm", "logs", "bare"), /installing an init[^]*installing an init/);
  await home.ok("vm", "delete", "bare");
});

/** `vm run` on a real guest: output, status, input, `--rm`, Ctrl-C. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import type { VmView } from "../../src/contract/contract.js";
import { until, withHome } from "./harness.js";

/** Prints a line and goes on. No shell: one that is about to start a child may hear a signal that the child does not. */
const endless = ["tail", "-f", "/etc/hostname"];
const small = ["--memory", "512M", "--vcpu", "1"];

test("a command's output, errors and status come from inside a VM, and --rm leaves nothing", () =>
  withHome(async (home) => {
    const script = "uname -sr; readlink /proc/1/exe; echo oops >&2; exit 7";
    const run = await home.run(["vm", "run", "--rm", ...small, "--", "sh", "-c", script], {
      timeoutMs: 900_000,
    });
    assert.equal(run.status, 7, run.stderr);
    const [kernel, init] = run.stdout.trim().split("\n");
    assert.match(kernel ?? "", /^Linux .*cloud-amd64$/);
    assert.match(init ?? "", /systemd$/);
    assert.match(run.stderr, /oops/);
    assert.match(run.stderr, /^spec: 1 vcpu · 512 MiB · \S+ disk$/m);
    assert.doesNotMatch(run.stdout, /oops|spec/);
    await until("nothing is left", () => home.leftovers().length === 0);
  }));

test("large input and output pass unchanged, and a signal is a status", () =>
  withHome(async (home) => {
    await home.ok("vm", "run", "-d", "--name", "pipes", ...small);
    await home.ok("vm", "exec", "pipes", "--", "sh", "-c", "echo mine >/tmp/mine");
    const input = randomBytes(3_000_000).toString("base64");
    const echoed = await home.run(["vm", "exec", "pipes", "--", "cat"], { input });
    assert.equal(echoed.status, 0, echoed.stderr);
    const digest = (text: string) => createHash("sha256").update(text).digest("hex");
    assert.equal(digest(echoed.stdout), digest(input));
    const killed = await home.run(["vm", "exec", "pipes", "--", "sh", "-c", "kill -TERM $$"]);
    assert.equal(killed.status, 128 + 15);
    const missing = await home.run(["vm", "exec", "pipes", "--", "/no/such/program"]);
    assert.equal(missing.status, 127);
    assert.match(missing.stderr, /no\/such\/program/);
    const where = await home.ok(
      "vm",
      "exec",
      "pipes",
      "--cwd",
      "/etc",
      "--env",
      "COLOUR=blue",
      "--",
      "sh",
      "-c",
      "pwd; echo $COLOUR",
    );
    assert.equal(where, "/etc\nblue\n");
    const many = await Promise.all(
      Array.from({ length: 10 }, (_, n) => home.ok("vm", "exec", "pipes", "--", "echo", String(n))),
    );
    assert.deepEqual(
      many,
      many.map((_, n) => `${n}\n`),
    );
    const booted = "until systemctl -q is-active multi-user.target; do sleep 0.2; done; cat /tmp/mine";
    assert.equal(await home.ok("vm", "exec", "pipes", "--", "sh", "-c", booted), "mine\n");
    await home.ok("vm", "delete", "pipes");
  }));

test("Ctrl-C while a --rm VM boots, or while its command runs, takes the VM away", () =>
  withHome(async (home) => {
    const booting = home.start(["vm", "run", "--rm", "--name", "early", ...small, "--", "true"]);
    await until("it is created", async () => (await home.json<VmView[]>("vm", "list")).length === 1);
    booting.child.kill("SIGINT");
    assert.equal((await booting.ended).status, 130);
    await until("nothing is left", () => home.leftovers().length === 0);

    const running = home.start(["vm", "run", "--rm", "--name", "late", ...small, "--", ...endless]);
    await new Promise((resolve) => running.child.stdout?.once("data", resolve));
    running.child.kill("SIGINT");
    assert.equal((await running.ended).status, 130);
    await until("nothing is left", () => home.leftovers().length === 0);
  }));

test("a client that is killed takes its --rm VM with it", () =>
  withHome(async (home) => {
    const running = home.start(["vm", "run", "--rm", "--name", "orphan", ...small, "--", ...endless]);
    await new Promise((resolve) => running.child.stdout?.once("data", resolve));
    running.child.kill("SIGKILL");
    await running.ended;
    await until("nothing is left", () => home.leftovers().length === 0);
  }));

test("a guest that never answers is kept for its logs, and said so", () =>
  withHome(async (home) => {
    const config = { XDG_CONFIG_HOME: `${home.root}/impatient` };
    mkdirSync(`${home.root}/impatient/banger`, { recursive: true });
    writeFileSync(`${home.root}/impatient/banger/config.toml`, 'boot_timeout = "1s"\n');
    await home.ok("daemon", "stop");
    const run = await home.run(["vm", "run", "--rm", "--name", "mute", ...small, "--", "true"], {
      env: config,
    });
    assert.equal(run.status, 125);
    assert.match(run.stderr, /did not answer within 1 s/);
    assert.match(run.stderr, /banger vm logs mute/);
    const vm = await home.vm("mute");
    assert.equal(vm.phase, "error");
    assert.equal(vm.error?.code, "boot_timeout");
    await home.ok("vm", "logs", "mute");
    await home.ok("vm", "delete", "mute");
    await home.ok("daemon", "stop");
  }));

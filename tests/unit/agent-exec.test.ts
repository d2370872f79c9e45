/** Commands run by the real agent over the mux. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { after, before, test } from "node:test";
import { ExecClient } from "../../src/guest/exec-stream.js";
import { channelsMax } from "../../src/guest/mux.js";
import { eventually, type Linked, run, Sink, startLinked } from "./agent-process.js";

let linked: Linked;
before(async () => {
  linked = await startLinked();
});
after(() => linked.stop());

const shell = (script: string) => ({ argv: ["sh", "-c", script], cwd: "/" });

/** Whether a process is there and no zombie. */
function alive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

test("output and errors are kept apart, the exit code is told", async () => {
  const ran = await run(linked.client, shell("echo out; echo err >&2; exit 7"));
  assert.deepEqual(ran, { result: { code: 7 }, stdout: "out\n", stderr: "err\n" });
});

test("argv, cwd and environment arrive as they are, over a default environment", async () => {
  const argv = [
    "sh",
    "-c",
    'printf "%s|" "$@" "$PWD" "$HOME" "$LANG" "$X" "${TERM-none}"',
    "sh",
    "a b",
    'ü\n"\\',
    "",
  ];
  const { stdout } = await run(linked.client, { argv, cwd: "/usr", env: { X: "y=z", LANG: "C" } });
  assert.equal(stdout, 'a b|ü\n"\\||/usr|/root|C|y=z|none|');
});

test("as many arguments as Linux takes arrive, and more are told as that", async () => {
  const argument = "\u0001".repeat(120_000);
  const sized = (count: number, text = argument) => ({
    argv: ["sh", "-c", 'printf "%s" "$@" | wc -c', "sh", ...Array.from({ length: count }, () => text)],
    cwd: "/",
  });
  assert.equal((await run(linked.client, sized(12))).stdout, `${12 * argument.length}\n`);
  assert.equal((await run(linked.client, sized(20_000, "x"))).stdout, "20000\n");
  for (const [count, text] of [
    [1, "x".repeat(200_000)],
    [20, argument],
  ] as const)
    await assert.rejects(run(linked.client, sized(count, text)), {
      code: "exec_arguments_too_long",
      message: /Argument list too long/,
      hint: /xargs -0/,
    });
});

test("a command that cannot run says why", async () => {
  const fails = (argv: string[], cwd: string, code: string) =>
    assert.rejects(run(linked.client, { argv, cwd }), { code }, code);
  await fails(["no-such-program"], "/", "exec_not_found");
  await fails(["/etc/passwd"], "/", "exec_not_executable");
  await fails(["true"], "/nonexistent", "exec_bad_cwd");
  await assert.rejects(run(linked.client, { argv: ["true"], user: "no-such-user" }), {
    code: "exec_no_such_user",
  });
});

test("without a directory a command starts in the repository, where there is one; a relative one is below it", async () => {
  const home = mkdtempSync(join(tmpdir(), "banger-home-"));
  const pwd = async (cwd?: string) => {
    const asked = { argv: ["sh", "-c", "pwd -P"], env: { HOME: home }, ...(cwd !== undefined && { cwd }) };
    return (await run(linked.client, asked)).stdout.trim();
  };
  try {
    assert.equal(await pwd(), home);
    const from = async (start: string, more: object = {}) =>
      (await run(linked.client, { argv: ["pwd"], env: { HOME: home }, start, ...more })).stdout.trim();
    assert.deepEqual([await from("/usr"), await from("/none")], ["/usr", home]);
    assert.deepEqual(
      [await from("/usr", { cwd: "bin/.." }), await from("/usr", { cwd: "/etc" })],
      ["/usr", "/etc"],
    );
    const repository = join(home, "a\nrepo");
    mkdirSync(join(repository, "sub"), { recursive: true });
    mkdirSync(join(home, ".local/state/banger"), { recursive: true });
    writeFileSync(join(home, ".local/state/banger/repository"), repository);
    assert.equal(await pwd(), repository);
    assert.equal(await from("/usr", { argv: ["pwd", "-P"] }), repository);
    assert.equal(await pwd("sub"), join(repository, "sub"));
    assert.equal(await pwd(".."), home);
    const missing = { code: "exec_bad_cwd", message: /\/a\nrepo\/none cannot be entered: No such file/ };
    await assert.rejects(pwd("none"), missing);
    rmSync(repository, { recursive: true });
    assert.equal(await pwd(), home);
    assert.equal(await pwd(".local"), join(home, ".local"));
  } finally {
    rmSync(home, { recursive: true });
  }
});

const asRoot = process.getuid?.() === 0;
test("users and groups come by name or number, as container images have them", {
  skip: asRoot ? false : "needs root",
}, async () => {
  const who = async (user: string) => {
    const argv = ["sh", "-c", 'echo $(id -u) $(id -g) "$HOME" "${USER-none}"; id -G'];
    const [first = "", groups = ""] = (await run(linked.client, { argv, user, cwd: "/" })).stdout.split("\n");
    return { first, groups };
  };
  const home = /^nobody:(?:[^:]*:){4}([^:]*):/m.exec(readFileSync("/etc/passwd", "utf8"))?.[1];
  assert.equal((await who("nobody")).first, `65534 65534 ${home} nobody`);
  assert.equal((await who("65534")).first, `65534 65534 ${home} nobody`);
  assert.deepEqual(await who("nobody:daemon"), { first: `65534 1 ${home} nobody`, groups: "1" });
  assert.deepEqual(await who("nobody:7"), { first: `65534 7 ${home} nobody`, groups: "7" });
  assert.deepEqual(await who("40123:40124"), { first: "40123 40124 / none", groups: "40124" });
  assert.equal((await who("40123")).first, "40123 0 / none");
  assert.equal((await who(":7")).first, "0 7 /root root");
  for (const user of ["nobody:no-such-group", "4012x", "4294967295", "x".repeat(300)])
    await assert.rejects(run(linked.client, { argv: ["true"], user }), { code: "exec_no_such_user" }, user);
});

test("a signal goes to the whole process group and is told as the end", async () => {
  const stdout = new Sink();
  const command = shell("sleep 1000 & echo ready; wait");
  const exec = new ExecClient(await linked.client.exec(command), {
    stdout,
    stderr: new Sink(),
    stdin: new PassThrough(),
  });
  await eventually(async () => stdout.text || undefined);
  exec.signal(15);
  assert.deepEqual(await exec.result, { signal: "SIGTERM", number: 15 });
});

test("a signal does not wait behind input that nobody reads", async () => {
  const stdin = new PassThrough();
  stdin.write(Buffer.alloc(1_000_000));
  const stdout = new Sink();
  const command = shell("echo ready; exec sleep 1000");
  const exec = new ExecClient(await linked.client.exec(command), { stdin, stdout, stderr: new Sink() });
  await eventually(async () => stdout.text || undefined);
  exec.signal(2);
  assert.deepEqual(await exec.result, { signal: "SIGINT", number: 2 });
});

test("the exit status does not wait for a background process that holds the output", async () => {
  const ran = await run(linked.client, shell("(while sleep 0.05; do echo more; done) & echo $!"));
  assert.deepEqual(ran.result, { code: 0 });
  process.kill(Number.parseInt(ran.stdout, 10), "SIGKILL");
});

test("10 MiB through a slow reader arrive whole", async () => {
  const content = randomBytes(10 * 1024 * 1024);
  const stdin = new PassThrough();
  stdin.end(content);
  const hash = createHash("sha256");
  let length = 0;
  const slow = new Writable({
    highWaterMark: 1024,
    write(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      length += chunk.length;
      setImmediate(done);
    },
  });
  const stream = await linked.client.exec({ argv: ["cat"], cwd: "/" });
  const result = await new ExecClient(stream, { stdin, stdout: slow, stderr: new Sink() }).result;
  await new Promise<void>((resolve) => slow.end(resolve));
  assert.deepEqual(result, { code: 0 });
  assert.equal(length, content.length);
  assert.equal(hash.digest("hex"), createHash("sha256").update(content).digest("hex"));
});

test("output that nobody reads stops the command, not the others, and keeps memory bounded", async () => {
  const stream = await linked.client.exec(shell("head -c 20000000 /dev/zero"));
  const ran = await run(linked.client, shell("head -c 3000000 /dev/zero | tr '\\0' x"));
  assert.equal(ran.stdout.length, 3_000_000);
  const status = readFileSync(`/proc/${linked.agent.pid}/status`, "utf8");
  assert.ok(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) < 4096, status);
  let received = 0;
  stream.on("data", (bytes: Buffer) => {
    received += bytes.length;
  });
  await new Promise((resolve) => stream.once("end", resolve));
  assert.ok(received > 20_000_000);
});

test("a terminal has the asked size, is told a new one, and ends its input", async () => {
  const stdout = new Sink();
  const stdin = new PassThrough();
  const script =
    "trap 'stty size' WINCH; stty size; while read line; do echo got $line; done; echo end $TERM";
  const command = {
    argv: ["bash", "-c", script],
    cwd: "/",
    tty: true,
    cols: 101,
    rows: 31,
    env: { TERM: "dumb" },
  };
  const exec = new ExecClient(await linked.client.exec(command), { stdin, stdout, stderr: new Sink() });
  await eventually(async () => (stdout.text.includes("31 101") ? true : undefined));
  exec.resize(120, 40);
  await eventually(async () => {
    stdin.write("x\n");
    return stdout.text.includes("40 120") ? true : undefined;
  });
  stdin.end();
  assert.deepEqual(await exec.result, { code: 0 });
  assert.match(stdout.text, /got x\r\n/);
  assert.match(stdout.text, /end dumb\r\n$/);
});

test("a terminal that this machine has no description of is one like it that it has", async () => {
  const termOf = async (TERM: string, tty: boolean) => {
    const stdout = new Sink();
    const command = { argv: ["sh", "-c", "echo $TERM"], cwd: "/", tty, env: { TERM } };
    const exec = new ExecClient(await linked.client.exec(command), { stdout, stderr: new Sink() });
    await exec.result;
    return stdout.text.trim();
  };
  // Debian's ncurses-base has these two.
  assert.equal(await termOf("xterm", true), "xterm");
  assert.equal(await termOf("no-such-terminal", true), "xterm-256color");
  assert.equal(await termOf("../x/xterm", true), "xterm-256color");
  assert.equal(await termOf("no-such-terminal", false), "no-such-terminal", "nobody draws there");
});

test("50 commands at once each get their own", async () => {
  const one = async (i: number) => {
    const ran = await run(linked.client, { argv: ["sh", "-c", `cat; exit ${i}`], cwd: "/" }, `input ${i}`);
    assert.deepEqual(ran, { result: { code: i }, stdout: `input ${i}`, stderr: "" });
  };
  await Promise.all(Array.from({ length: 50 }, (_, i) => one(i)));
});

test("a stream that is dropped hangs its process group up, and kills what does not go", async () => {
  const stdout = new Sink();
  const script = "sleep 1000 & echo $!; trap '' HUP; sleep 1000 & echo $!; echo $$; wait";
  const stream = await linked.client.exec(shell(script));
  const exec = new ExecClient(stream, { stdout, stderr: new Sink(), stdin: new PassThrough() });
  const pids = await eventually(async () => {
    const lines = stdout.text.trim().split("\n");
    return lines.length === 3 ? lines.map(Number) : undefined;
  });
  assert.ok(pids.every(alive));
  exec.destroy();
  await assert.rejects(exec.result, { code: "exec_lost" });
  await eventually(async () => (pids.some(alive) ? undefined : true));
});

test("no more channels than the limit, at either side", async () => {
  const streams = await Promise.all(
    Array.from({ length: channelsMax }, () => linked.client.exec(shell("exec cat"))),
  );
  assert.throws(() => linked.mux.open(), { code: "agent_busy", retry: "later" });
  for (const stream of streams) stream.destroy();
  assert.deepEqual((await run(linked.client, shell("exit 3"))).result, { code: 3 });
});

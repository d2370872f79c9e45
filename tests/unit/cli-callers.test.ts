/** The program as others call it: with signals ignored, from a loop, with odd inputs, arguments and readers. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { encodeFrame, FrameReader, frameType } from "../../src/guest/exec-frames.js";
import {
  bootingVm,
  echoingGuest,
  exit,
  type Host,
  program,
  runDeadlineMs,
  switching,
  withHost,
} from "../doubles/cli-host.js";
import { sendEvents } from "../doubles/fake-api.js";
import { eventView, vmView } from "../doubles/views.js";
import { until } from "../e2e/harness.js";

/** What a shell script prints on both outputs; "banger" in it is the program. */
function shell({ env }: Host, script: string, started: (child: ChildProcess) => void = () => undefined) {
  return new Promise<string>((resolve) => {
    const text = `banger() { '${program}' "$@"; }; ${script}`;
    const child = spawn("bash", ["-c", text], { env, timeout: runDeadlineMs, killSignal: "SIGKILL" });
    let said = "";
    for (const output of [child.stdout, child.stderr]) output.on("data", (bytes) => (said += bytes));
    child.on("close", () => resolve(said));
    child.stdin.end();
    started(child);
  });
}

/** A command that runs until the test says so; the signals that it gets are noted. */
function runningCommand({ api }: Host) {
  const signals: number[] = [];
  let stream: Duplex | undefined;
  api.onExec((_asked, connection) => {
    stream = connection;
    connection.write(switching);
    const decoder = new FrameReader();
    connection.on("data", (bytes: Buffer) => {
      for (const { type, payload } of decoder.push(bytes))
        if (type === frameType.signal) signals.push(payload[0] ?? 0);
    });
  });
  return {
    signals,
    begun: () => until("the command runs", () => stream !== undefined),
    end: () => stream?.write(exit({ code: 0 })),
  };
}

test("a variable of --env that is no UTF-8 is refused by its name, and what such bytes become is passed", () =>
  withHost(async (host) => {
    const asked: unknown[] = [];
    host.api.onExec((request, stream) => {
      asked.push((request.body as { env: object }).env);
      stream.write(switching);
      stream.write(exit({ code: 0 }));
    });
    const exec = "banger vm exec --env WORD box -- x; echo status $?";
    const said = await shell(host, `export WORD="$(printf 'caf\\351')"; ${exec}`);
    assert.match(said, /banger: the value of WORD is not UTF-8: .*\n {2}try: .*\n?/);
    assert.match(said, /status 125/);
    assert.deepEqual(asked, []);
    assert.equal(await shell(host, `export WORD="$(printf 'caf\\357\\277\\275')"; ${exec}`), "status 0\n");
    assert.deepEqual(asked, [{ WORD: "caf\uFFFD" }]);
  }));

test("a limit of virtual memory below what Node reserves is told in a sentence, with what mends it", () =>
  withHost(async (host) => {
    const said = await shell(
      host,
      "ulimit -v 500000; for c in list exec; do banger vm $c; echo status $?; done",
    );
    const told =
      "banger: the limit of virtual memory \\(ulimit -v\\) is too low: .*\\n  try: ulimit -v unlimited\\n";
    assert.match(said, new RegExp(`^${told}status 1\\n${told}status 125\\n$`));
  }));

test("where /proc is not mounted that is said, and not what fails of it", () =>
  withHost(async (host) => {
    const script = `mount -t tmpfs none /proc; "$0" vm list; echo status $?`;
    const said = await shell(host, `unshare -rm sh -c '${script}' '${program}'`);
    assert.match(said, /^banger: \/proc is not there: .*\n {2}try: mount -t proc proc \/proc\nstatus 1\n$/);
  }));

test("a shell that is told to read the program by its bare name runs it", () =>
  withHost(async (host) => {
    const said = await shell(host, `cd '${dirname(program)}'; sh banger --version; bash banger --version`);
    assert.match(said, /^(banger \d.*\n){2}$/);
  }));

test("a flag that Node has, too, is the command's: its file is read by nobody else", () =>
  withHost(async ({ banger }) => {
    const { status, stderr } = await banger(["vm", "exec", "box", "--env-file", "none", "--", "x"]);
    assert.deepEqual([status, stderr.split("\n")[1]], [125, "  try: ls -ld none"]);
  }));

test("a signal that its caller had it ignore is ignored, and every other one goes to the command", () =>
  withHost(async (host) => {
    const command = runningCommand(host);
    let pid = 0;
    const said = shell(host, `trap '' HUP; banger vm exec box -- x; echo status $?`, (child) => {
      pid = child.pid as number;
    });
    await command.begun();
    const [banger] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
    for (const name of ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTERM"] as const) process.kill(banger ?? 0, name);
    await until("the last one has come", () => command.signals.includes(15));
    assert.deepEqual(
      command.signals.toSorted((a, b) => a - b),
      [10, 12, 15],
    );
    command.end();
    assert.equal(await said, "status 0\n");
  }));

test("a signal that nobody waits for ends it as it ends any program, and opens no debugger", () =>
  withHost(async ({ api, banger }) => {
    let send = (): void => undefined;
    api.on("GET /v1/events", (_asked, response) => {
      sendEvents(response, [eventView(1, "vm.ready")]);
      send();
    });
    const statuses = { SIGUSR1: 138, SIGUSR2: 140, SIGQUIT: 131, SIGHUP: 129, SIGTERM: 143 } as const;
    for (const [name, wanted] of Object.entries(statuses)) {
      const ended = await banger(["events", "-f"], "", (kill) => {
        send = () => kill(name as NodeJS.Signals);
      });
      assert.deepEqual([name, ended.status, ended.stderr], [name, wanted, ""]);
    }
  }));

test("a loop that reads its list from the input is whole with the flags that leave the input alone", () =>
  withHost(async (host) => {
    host.api.onExec((_asked, stream) => echoingGuest(stream, { code: 0 }));
    const loop = (flag: string) =>
      [
        `n=0; while read -r l; do banger vm exec box ${flag} -- x >/dev/null 2>&1; n=$((n+1)); done`,
        `printf '%s %s\\n' ${flag} $n`,
      ].join("; ");
    const flags = ["-n", "--no-stdin", "--no-interactive", "-i"];
    const said = await shell(host, flags.map((each) => `printf '1\\n2\\n3\\n' | (${loop(each)})`).join("; "));
    assert.equal(said, "-n 3\n--no-stdin 3\n--no-interactive 3\n-i 1\n");
  }));

test("an input that cannot be read is an error, and none that has ended", () =>
  withHost(async (host) => {
    host.api.onExec((_asked, stream) => echoingGuest(stream, { code: 0 }));
    const said = await shell(
      host,
      `for i in / /dev/null; do banger vm exec box -- cat <$i; echo status $?; done`,
    );
    const error = "banger: the command's input cannot be read: it is a directory\n";
    assert.match(said, new RegExp(`^${error}  try: .*\\nstatus 125\\nstatus 0\\n$`));
  }));

test("an output that cannot be written is told; a reader that has gone ends the command", () =>
  withHost(async (host) => {
    host.api.on("GET /v1/vms", () => [vmView()]);
    host.api.onExec((_asked, stream) => {
      stream.write(switching + encodeFrame(frameType.stdout, Buffer.from("out\n")).toString("latin1"));
      stream.write(exit({ code: 0 }));
    });
    for (const [command, status] of [
      ["vm list", 1],
      ["vm exec box -- x", 125],
    ] as const) {
      const said = await shell(host, `banger ${command} >/dev/full; echo status $?`);
      assert.match(said, new RegExp(`^banger: the output cannot be written: .*\\n.*\\nstatus ${status}\\n$`));
    }
    const script = `banger vm list | sleep 0; echo "\${PIPESTATUS[0]}"`;
    assert.match(await shell(host, script), /^(141|0)\n$/);
  }));

test("arguments that are not UTF-8 are refused by their place; all else arrives as it is", () =>
  withHost(async (host) => {
    host.api.onExec((_asked, stream) => echoingGuest(stream, { code: 0 }));
    const said = await shell(host, `banger vm exec box -- ls $'caf\\xe9.txt'; echo status $?`);
    assert.match(said, /^banger: argument 6 is not UTF-8: caf\uFFFD\.txt\n {2}try: .*\nstatus 125\n$/);
    assert.deepEqual(host.api.asked, []);
    const argv = ["printf", "a\nb", "", "ü€😀", "\uFFFD", "\t\u0001\u007f"];
    await host.banger(["vm", "exec", "box", "--", ...argv]);
    assert.deepEqual(
      host.api.asked.map(({ body }) => (body as { argv: string[] }).argv),
      [argv],
    );
  }));

test("vm run --rm deletes though nobody reads its messages any more", () =>
  withHost(async (host) => {
    bootingVm(host.api);
    host.api.onExec((_asked, stream) => echoingGuest(stream, { code: 0 }));
    await shell(host, "banger vm run --rm -- cat 2>&1 | sleep 0");
    await until("the VM is deleted", () =>
      host.api.asked.some(({ line }) => line === "POST /v1/vms/actions"),
    );
  }));

test("a VM that failed before there was anything to look at goes with --rm, and any with --rm=always", () =>
  withHost(async (host) => {
    const failed = async (step: string, flag: string) => {
      bootingVm(host.api);
      const error = { step, code: "broken", message: "it broke", retry: "never" } as const;
      host.api.on("GET /v1/events", (_asked, response) =>
        sendEvents(response, [eventView(6, "vm.step_failed")]),
      );
      host.api.on("GET /v1/vms/0a1b2c3d", () => vmView({ phase: "error", readyAt: null, error }));
      const { stderr } = await host.banger(["vm", "run", flag, "--", "true"]);
      const deleted = host.api.asked.some(({ line }) => line === "POST /v1/vms/actions");
      assert.match(stderr, deleted ? /and was deleted: it broke/ : /and was kept.*[^]*vm delete box/);
      host.api.asked.length = 0;
      return deleted;
    };
    assert.equal(await failed("agent", "--rm"), false);
    assert.equal(await failed("process", "--rm"), false);
    assert.equal(await failed("disk", "--rm"), true);
    assert.equal(await failed("agent", "--rm=always"), true);
    const { status, stderr } = await host.banger(["vm", "run", "--rm=never", "--", "true"]);
    assert.equal(status, 125);
    assert.match(stderr, /--rm does not take the value "never"/);
  }));

test("without --rm a line on stderr says what is left, and -q leaves it out", () =>
  withHost(async (host) => {
    bootingVm(host.api);
    host.api.onExec((_asked, stream) => echoingGuest(stream, { code: 4 }));
    const loud = await host.banger(["vm", "run", "--", "x"]);
    assert.equal(loud.status, 4);
    assert.match(loud.stderr, /\nbox is still running; stop it .*; delete it with: banger vm delete box\n$/);
    assert.equal((await host.banger(["vm", "run", "-q", "--", "x"])).stderr, "");
  }));

test("a harness labels its VMs, says how long it wants them, and finds and deletes its own", () =>
  withHost(async ({ api, banger }) => {
    bootingVm(api);
    api.onExec((_asked, stream) => echoingGuest(stream, { code: 0 }));
    await banger(["vm", "run", "-d", "-q", "--label", "task=42", "--label", "ci", "--ttl", "1h30m"]);
    const created = api.asked.find(({ line }) => line === "POST /v1/vms")?.body as {
      labels: object;
      ttlMs: number;
    };
    assert.deepEqual([created.labels, created.ttlMs], [{ task: "42", ci: "" }, 5_400_000]);
    const own = vmView({ labels: { task: "42" } });
    api.on("GET /v1/vms", () => [own, vmView({ id: "00000001", name: "other" })]);
    const mine = ["--filter", "label=task=42"];
    assert.equal((await banger(["vm", "list", "-q", ...mine])).stdout, `${own.id}\n`);
    api.asked.length = 0;
    assert.equal((await banger(["vm", "delete", ...mine])).status, 0);
    const acted = api.asked.find(({ line }) => line === "POST /v1/vms/actions");
    assert.deepEqual(acted?.body, { action: "delete", refs: [own.id] });
    for (const wrong of [
      ["vm", "delete"],
      ["vm", "delete", "box", ...mine],
      ["vm", "run", "-d", "--ttl", "0s"],
    ])
      assert.notEqual((await banger(wrong)).status, 0);
  }));

test("a daemon that has exited has stopped, also where nobody reaps it", () =>
  withHost(async ({ api, banger }) => {
    const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 300"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const pid = Number(line.toString());
      await until("it is a zombie", () => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8")));
      api.on("POST /v1/daemon/stop", () => ({ pid }));
      const { status, stderr } = await banger(["daemon", "stop"]);
      assert.deepEqual([status, stderr], [0, ""]);
    } finally {
      parent.kill("SIGKILL");
    }
  }));

/** The helper as a process of its own: how it starts and ends, whom it lets in, and that hostile clients change nothing. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, linkSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import type { Answer } from "../../helper/contract.js";
import { helperClient } from "../../src/effects/helper/client.js";
import { helperUnit } from "../../src/home/units.js";
import type { BangerError } from "../../src/lib/errors.js";
import { unitsOf } from "../../src/system/units.js";
import { hostile } from "./hostile.js";
import { metadataOf } from "./metadata.js";
import { Raw, until, verdictOf } from "./serve.js";
import { needsRoot, trustedPlace } from "./trusted-place.js";

const owner = 4321;
const tree = new URL("../../../", import.meta.url).pathname.replace(/\/$/, "");
const programs = { node: process.execPath, tree, kvmGroup: false, legacyIptables: false };
/** As the unit that is installed starts it; each test has metadata of its own. */
const launch = (
  /^ExecStart=(.*) --metadata /m.exec(unitsOf(metadataOf(), programs)[helperUnit] ?? "")?.[1] ?? ""
).split(" ");
/** systemd gives a service no more. */
const environment = { PATH: process.env["PATH"] };

type Context = { after: (done: () => void) => void };

interface Started {
  place: string;
  socket: string;
  child: ChildProcess;
  pid: number;
  /** Lines of its standard error so far. */
  lines: () => string[];
}

function install(t: Context): string {
  const place = trustedPlace(t);
  writeFileSync(`${place}/install.json`, JSON.stringify({ ...metadataOf(place, owner), firecracker: null }));
  return place;
}

/** Starts it in namespaces of its own, where it could do no harm. */
async function start(t: Context): Promise<Started> {
  const place = install(t);
  const socket = `${place}/s`;
  const argv = ["--net", "--mount", ...launch, "--metadata", `${place}/install.json`, "--socket", socket];
  const child = spawn("unshare", argv, {
    env: environment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => void child.kill("SIGKILL"));
  let text = "";
  child.stderr?.on("data", (data: Buffer) => {
    text += data.toString();
  });
  await until(() => (existsSync(socket) && statSync(socket).uid === owner) || child.exitCode !== null);
  assert.equal(child.exitCode, null, text);
  return { place, socket, child, pid: child.pid ?? 0, lines: () => text.split("\n").slice(0, -1) };
}

const never = new AbortController().signal;

test("it serves its owner's socket, and ends when it is told to", { skip: needsRoot }, async (t) => {
  const { socket, child, pid, lines } = await start(t);
  const { mode, uid, gid } = statSync(socket);
  assert.deepEqual([mode & 0o777, uid, gid], [0o600, owner, owner]);
  assert.match(readFileSync(`/proc/${pid}/status`, "utf8"), /^Umask:\s+0077$/m);
  const helper = helperClient(socket);
  const about = await helper.call("about", {}, never);
  assert.match(about.version, /^\d+\.\d+\.\d+/);
  assert.equal(about.firecracker, null);
  assert.equal(about.problem, "firecracker is not installed");
  helper.close();
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
  assert.ok(!existsSync(socket));
  const { time, durationMs, ...line } = JSON.parse(lines()[0] ?? "");
  assert.deepEqual(line, { uid: 0, pid: process.pid, method: "about", vmId: null, verdict: "done" });
  assert.ok(Number.isInteger(durationMs) && new Date(time).toISOString() === time);
  assert.equal(lines().length, 1, "nothing but a line for each call");
});

/** What a client of that uid is told, from a process of its own; one that is let in asks about the helper. */
function asUser(uid: number, socket: string, asks: boolean): Answer[] {
  const script = `
    const [path, asks] = process.argv.slice(1);
    const socket = require("node:net").connect(path);
    if (asks === "true") socket.write('{"id":1,"method":"about","params":{}}\\n');
    socket.on("data", (data) => { process.stdout.write(data); socket.end(); });`;
  const argv = [
    `--reuid=${uid}`,
    `--regid=${uid}`,
    "--clear-groups",
    process.execPath,
    "-e",
    script,
    socket,
    `${asks}`,
  ];
  const { stdout, stderr, status } = spawnSync("setpriv", argv, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Answer);
}

test("the owner and root are let in, and nobody else, though the socket's mode would", {
  skip: needsRoot,
}, async (t) => {
  const { place, socket, lines } = await start(t);
  chmodSync(place, 0o711);
  assert.deepEqual(asUser(owner, socket, true).map(verdictOf), ["result"]);
  chmodSync(socket, 0o666);
  assert.deepEqual(asUser(0, socket, true).map(verdictOf), ["result"]);
  for (const uid of [owner + 1, 1, 65_534]) {
    const answers = asUser(uid, socket, false);
    assert.deepEqual(answers.map(verdictOf), ["peer"], `uid ${uid}`);
    assert.equal(answers[0]?.id, null);
    await until(() => lines().some((line) => line.includes(`"uid":${uid},`)));
    assert.match(lines().find((line) => line.includes(`"uid":${uid},`)) ?? "", /"verdict":"refused peer"/);
  }
});

test("it takes the socket that systemd listens at for it", { skip: needsRoot }, async (t) => {
  const place = install(t);
  const server = createServer().listen(`${place}/s`);
  await once(server, "listening");
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  const run = (script: string) => {
    const child = spawn("sh", ["-c", script, "sh", ...launch, "--metadata", `${place}/install.json`], {
      env: environment,
      stdio: ["ignore", "ignore", "ignore", fd],
    });
    t.after(() => void child.kill("SIGKILL"));
    return child;
  };
  for (const wrong of ["LISTEN_FDS=1 LISTEN_PID=1", "LISTEN_FDS=2 LISTEN_PID=$$", "LISTEN_PID=$$", ""])
    assert.deepEqual(await once(run(`${wrong} exec "$@"`), "exit"), [1, null], wrong);
  const child = run('LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"');
  // From here on nobody listens but the helper; closing takes away the name, but not the second one.
  linkSync(`${place}/s`, `${place}/kept`);
  server.close();
  const helper = helperClient(`${place}/kept`);
  assert.equal((await helper.call("about", {}, never)).firecracker, null);
  helper.close();
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("without sound metadata it does not start, and says how to fix that", { skip: needsRoot }, (t) => {
  const place = install(t);
  const [node = "", ...main] = launch;
  const run = (...argv: string[]) =>
    spawnSync(node, [...main, ...argv, "--socket", `${place}/s`], { encoding: "utf8", env: environment });
  const file = `${place}/install.json`;
  const table: [RegExp, () => void, string[]][] = [
    [/--metadata FILE is missing/, () => {}, []],
    [/Unknown option/, () => {}, ["--metadata", file, "--debug"]],
    [/Unexpected argument/, () => {}, ["--metadata", file, "x"]],
    [/ENOENT/, () => {}, ["--metadata", `${place}/none`]],
    [/is not a normalized path/, () => {}, ["--metadata", "install.json"]],
    [
      /is writable by users other than root.*\n {2}try: chmod go-w/,
      () => chmodSync(file, 0o666),
      ["--metadata", file],
    ],
    [
      /is not JSON.*\n {2}try: banger system install/,
      () => (chmodSync(file, 0o600), writeFileSync(file, "")),
      ["--metadata", file],
    ],
  ];
  for (const [message, change, argv] of table) {
    change();
    const { status, stderr } = run(...argv);
    assert.match(stderr, message);
    assert.match(stderr, /^banger-helper: /);
    assert.ok(!stderr.includes("    at "), stderr);
    assert.equal(status, 1);
    assert.ok(!existsSync(`${place}/s`));
  }
});

/** Links, addresses, routes, rules, mounts, settings and files as the helper sees them. */
function hostOf({ pid, place }: Started): string {
  const script = `ip -j addr; ip -j route; nft list ruleset; cat /proc/self/mounts /proc/sys/net/ipv4/ip_forward
    find "$1" | sort; ls /proc/${pid}/fd | wc -l; cat /proc/${pid}/task/${pid}/children`;
  const argv = ["--target", `${pid}`, "--net", "--mount", "sh", "-ec", script, "sh", place];
  const { stdout, stderr, status } = spawnSync("nsenter", argv, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

test("no hostile line, nor a thousand connections, change anything of the host", {
  skip: needsRoot,
}, async (t) => {
  const started = await start(t);
  const before = hostOf(started);
  const client = new Raw(started.socket);
  for (const [, line] of hostile)
    client.send(Buffer.concat([Buffer.from(line as string), Buffer.from("\n")]));
  const answers = await client.answered(hostile.length);
  assert.deepEqual(
    answers.map(verdictOf),
    hostile.map(([rule]) => rule),
  );
  client.send(Buffer.alloc(1 << 20));
  await client.closed;
  for (let round = 0; round < 10; round++) {
    const clients = Array.from({ length: 100 }, () => new Raw(started.socket));
    for (const each of clients) each.send("x\n");
    await Promise.all(clients.map((each) => each.answered(1)));
    for (const each of clients) each.socket.destroy();
    await Promise.all(clients.map((each) => each.closed));
  }
  // Connections count until the helper has heard of their end.
  const helper = helperClient(started.socket);
  const about = () => helper.call("about", {}, new AbortController().signal);
  while ((await about().catch((error: BangerError) => error.retry)) === "later");
  assert.equal((await about()).firecracker, null);
  helper.close();
  await until(() => hostOf(started) === before);
  assert.equal(started.child.exitCode, null);
});

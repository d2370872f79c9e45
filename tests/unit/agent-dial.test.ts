/** Connecting to a guest's agent over a real socket: through a boot, and past a greeting that got lost. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { qemuDial } from "../../src/effects/vmm/qemu/dial.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { ManualClock } from "../manual-clock.js";

const id = "0123abcd";
const hello = Buffer.from([1, 0, 16, 0, 0, 0, 0, 0]);
const helloAck = Buffer.from([2, 0, 16, 0, 0, 0, 0, 0]);

let root: string;
let home: Home;
let clock: ManualClock;
let server: Server;
let arrived: Socket[];
const stop = new AbortController();

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-dial-"));
  home = { state: root, data: root, cache: root, config: root, runtime: join(root, "run") };
  clock = new ManualClock();
  arrived = [];
  const { agentSocket } = vmHandles(home, id);
  mkdirSync(dirname(agentSocket), { recursive: true });
  server = createServer((socket) => arrived.push(socket.on("error", () => {}))).listen(agentSocket);
  await once(server, "listening");
});
afterEach(() => {
  for (const socket of arrived) socket.destroy();
  server.close();
  rmSync(root, { recursive: true, force: true });
});

/** The connection of that number, which is there or comes. */
async function connection(number: number): Promise<Socket> {
  while (arrived.length < number) await once(server, "connection");
  return arrived[number - 1] as Socket;
}

/** Answers the greeting, as an agent does. */
async function answer(socket: Socket): Promise<void> {
  let bytes = Buffer.alloc(0);
  while (bytes.indexOf(hello) < 0 || bytes.length < bytes.indexOf(hello) + 24) {
    bytes = Buffer.concat([bytes, (await once(socket, "data"))[0] as Buffer]);
  }
  const nonce = bytes.subarray(bytes.indexOf(hello) + 8, bytes.indexOf(hello) + 24);
  socket.write(Buffer.concat([helloAck, nonce]));
}

test("a greeting that nobody answers is said again over a new connection, and the session is that one", async () => {
  const dialled = qemuDial(home, clock)(id, stop.signal);
  const lost = await connection(1);
  lost.resume();
  const closed = once(lost, "close");
  await clock.advance(4_900);
  assert.equal(lost.destroyed, false, "a guest that boots has some seconds");
  await clock.advance(200);
  await closed;
  await answer(await connection(2));
  const session = await dialled;
  await clock.advance(60_000);
  assert.equal(arrived.length, 2, "an answered greeting is not said again");
  session.close();
  await session.closed;
});

test("a guest that answers nothing for minutes is greeted ever more rarely, and at least each 20 seconds", async () => {
  const given = new AbortController();
  const dialled = qemuDial(home, clock)(id, given.signal);
  for (let number = 1; number <= 8; number++) {
    (await connection(number)).resume();
    await clock.advance(number === 1 ? 5_000 : number === 2 ? 10_000 : 20_000);
  }
  await connection(9);
  given.abort();
  await assert.rejects(dialled, { code: "agent_unreachable" });
});

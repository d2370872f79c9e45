/** Servers on a guest's own loopback, reached through the real agent, which runs as a process of this host. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { after, before, type TestContext, test } from "node:test";
import { LoopbackForwards } from "../../src/effects/net/loopback-forwards.js";
import { type Linked, startLinked } from "./agent-process.js";

const id = "0a0b0c0d";
/** Where the daemon would have the VM's address. */
const address = "127.98.76.5";

let linked: Linked;
let forwards: LoopbackForwards;
let changes = 0;
before(async () => {
  linked = await startLinked();
  forwards = new LoopbackForwards(
    () => linked.client,
    () => {
      changes += 1;
    },
  );
});
after(async () => {
  forwards.close();
  await linked.stop();
});

/** A server in the "guest", forwarded; the host's port for it. */
async function forwarded(
  t: TestContext,
  serve: (socket: Socket) => void,
  loopback = "127.0.0.1",
): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    serve(socket);
  });
  await once(server.listen(0, loopback), "listening");
  const { port } = server.address() as AddressInfo;
  await forwards.ensure(id, address, { guestPort: port, loopback });
  const there = forwards.list(id).find(({ guestPort }) => guestPort === port);
  assert.equal(there?.loopback, loopback);
  const { hostPort } = there;
  t.after(() => {
    forwards.ensureNone(id, hostPort);
    server.close();
  });
  return hostPort;
}

test("bytes go both ways, many at once, and an end is heard on either side", async (t) => {
  const port = await forwarded(t, (socket) => void socket.pipe(socket));
  assert.ok(changes > 0, "a look shows it");
  const sent = Buffer.alloc(3 << 20, "0123456789");
  const all = Array.from({ length: 8 }, async () => {
    const socket = connect({ host: address, port });
    socket.end(sent);
    return (await buffer(socket)).equals(sent);
  });
  assert.deepEqual([...new Set(await Promise.all(all))], [true]);
});

test("a server that speaks first is heard, and one on ::1 is found there", async (t) => {
  const port = await forwarded(t, (socket) => void socket.end("welcome"), "::1");
  assert.equal(await text(connect({ host: address, port })), "welcome");
});

test("a VM has so many connections and no more; those that end make room", async (t) => {
  let open = 0;
  const port = await forwarded(t, (socket) => {
    open += 1;
    socket.write("in");
    socket.on("end", () => socket.end());
  });
  const sockets = Array.from({ length: 40 }, () => connect({ host: address, port }));
  const outcomes = await Promise.all(
    sockets.map((socket) =>
      Promise.race([once(socket, "data"), once(socket, "close")]).then(() => socket.destroyed),
    ),
  );
  assert.equal(outcomes.filter((refused) => !refused).length, 32);
  assert.equal(open, 32);
  await linked.client.health();
  await Promise.all(
    sockets.map((socket) => socket.destroyed || (socket.end(), socket.resume(), once(socket, "close"))),
  );
  assert.equal((await once(connect({ host: address, port }), "data"))[0].toString(), "in");
});

test("nobody listens there any more: the connection is closed, and the port is not another's", async () => {
  await forwards.ensure(id, address, { guestPort: 1, loopback: "127.0.0.1" });
  const [{ hostPort = 0 } = {}] = forwards.list(id);
  assert.equal(await text(connect({ host: address, port: hostPort })), "");
  forwards.ensureNone(id, hostPort);
  const gone = connect({ host: address, port: hostPort });
  const [error] = (await once(gone, "error").catch((thrown) => [thrown])) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNREFUSED");
});

test("the agent leads nowhere but to the guest's own loopback", async () => {
  for (const where of ["10.0.2.2", "0.0.0.0", "::", "169.254.169.254", "::ffff:10.0.2.2", "localhost"])
    await assert.rejects(
      linked.client.connect({ address: where, port: 80 }),
      { code: "agent_refused" },
      where,
    );
  await assert.rejects(linked.client.connect({ address: "127.0.0.1", port: 70_000 }), {
    code: "agent_refused",
  });
});

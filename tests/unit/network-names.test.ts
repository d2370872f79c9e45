/** Names decide what a guest of a network process reaches: what it asks for, and what its connections say of themselves. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { clientHello, cut, greeting, Lab } from "../net/lab.js";
import { listed, names } from "../net/policies.js";

let lab: Lab;
before(async () => {
  lab = await Lab.open();
  await lab.do("table", { table: names });
});
after(() => lab.close());

const asked = async () => ((await lab.do("asked")) as unknown as { name: string }[]).map(({ name }) => name);
const dns = (name: string, options: object = {}) => lab.do("dns", { name, ...options });
const codeOf = async (name: string, options: object = {}) => (await dns(name, options)).code;

describe("under allow", () => {
  before(() => lab.policy("listed", ...listed));

  test("a name that is not listed is not asked for, however much it says", async () => {
    await asked();
    for (const name of [
      "evil.example",
      "stolen-secret.tunnel.example",
      "b.example",
      "a.example.evil.example",
    ])
      assert.equal(await codeOf(name), 3, name);
    assert.equal(await codeOf("bad.wild.example"), 3, "denied by name");
    for (const kind of [12, 16, 255, 252]) assert.notEqual(await codeOf("evil.example", { kind }), 0);
    assert.deepEqual(await asked(), []);
  });

  test("an address is open once its name was asked for, at the ports of that name", async () => {
    await lab.do("restart");
    await lab.policy("listed", ...listed);
    assert.equal(await lab.tcp("203.0.113.1", 8080), "reset");
    assert.deepEqual((await dns("a.example")).addresses, ["203.0.113.1"]);
    assert.equal(await lab.tcp("203.0.113.1", 8080), "open");
    assert.equal(await lab.tcp("203.0.113.2", 8080), "reset");
    await dns("x.b.example");
    assert.equal(await lab.tcp("203.0.113.2", 8080), "reset", "the name is for 443");
    assert.equal(await lab.tcp("203.0.113.2", 443), "open");
    assert.equal(await lab.tcp("192.168.7.7", 8080), "open", "by address");
    assert.equal(await lab.tcp("192.168.7.7", 80), "reset");
  });

  test("the server that TLS names is the one that was asked for, in however many pieces it comes", async () => {
    await dns("a.example");
    await dns("x.b.example");
    const to = "203.0.113.1";
    const whole = clientHello("a.example", { padding: 1700 });
    for (const pieces of [
      [clientHello("A.Example")],
      cut(whole, 1000),
      cut(whole, 300),
      cut(clientHello("a.example", { record: 40 }), 33),
    ])
      assert.equal(
        (await lab.talk(to, 443, pieces)).data?.length,
        greeting(to).length + Buffer.concat(pieces).length,
      );
    for (const pieces of [
      [clientHello("evil.example")],
      cut(clientHello("evil.example", { padding: 1700 }), 1000),
      [clientHello(null)],
      [Buffer.from("SSH-2.0-tunnel\r\n")],
      [clientHello("edge.example")],
      [Buffer.concat([Buffer.from([22, 3, 1, 0xff, 0xff]), Buffer.alloc(20_000, 1)])],
    ]) {
      const { end, data = "" } = await lab.talk(to, 443, pieces);
      assert.equal(end, "reset");
      assert.ok(data.length <= greeting(to).length, "nothing of it got to the server");
    }
    assert.equal(
      (await lab.talk("203.0.113.2", 443, [clientHello("a.example")])).end,
      "reset",
      "of another address",
    );
  });

  test("so is the host of an HTTP request", async () => {
    await dns("a.example");
    const get = (...head: string[]) => Buffer.from(`GET / HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`);
    const end = async (request: Buffer) => (await lab.talk("203.0.113.1", 80, cut(request, 20))).end;
    assert.equal(await end(get("User-Agent: x", "Host: a.example")), "quiet");
    assert.equal(await end(get("host:  A.EXAMPLE:80")), "quiet");
    for (const head of [["Host: evil.example"], ["X: y"], ["Host: a.example", "Host: evil.example"]])
      assert.equal(await end(get(...head)), "reset", head.join());
    assert.equal(await end(get("Host: evil.example", " a.example")), "reset");
    assert.equal(
      await end(Buffer.from("GET http://evil.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")),
      "reset",
    );
    assert.equal(await end(Buffer.from("\x16\x03\x01")), "reset");
  });

  test("urgent data does not get round it", async () => {
    const { end } = await lab.talk("203.0.113.1", 443, [clientHello("evil.example")], { urgent: true });
    assert.equal(end, "reset");
  });

  test("a port of the host's loopback that was opened answers, and no other", async () => {
    const { data } = await lab.talk("10.0.2.2", 7778, [Buffer.from("x\n")]);
    assert.equal(data, "hello 127.0.0.1\nx\n");
    for (const to of ["127.0.0.1", "10.0.2.3", "10.77.0.1"])
      assert.equal(await lab.tcp(to, 7778), "reset", to);
    assert.equal(await lab.tcp("10.0.2.2", 7777), "reset");
    assert.equal(await lab.tcp("10.0.2.2", 9), "reset");
  });

  test("what answers another question than was asked is not heard", async () => {
    for (const name of ["spoofed", "other"])
      assert.equal(await codeOf(`${name}.wild.example`, { wait: 8 }), 2);
    assert.equal(await codeOf("broken.wild.example"), 2);
  });

  test("questions have numbers and ports that cannot be foreseen", async () => {
    await asked();
    for (let n = 0; n < 12; n++) await dns("a.example");
    const made = (await lab.do("asked")) as unknown as { id: number; port: number }[];
    assert.ok(
      new Set(made.map(({ id }) => id)).size >= 11 && new Set(made.map(({ port }) => port)).size >= 6,
    );
  });

  test("a policy that is taken back ends what it had opened, at once", async () => {
    await dns("a.example");
    const { handle } = await lab.do("tcp", { to: "203.0.113.1", port: 8080 });
    await lab.policy("closed", "default deny none", "names listed");
    assert.equal((await lab.do("exchange", { handle, wait: 10 })).end, "reset");
    assert.equal(await lab.tcp("203.0.113.1", 8080), "reset");
    await lab.policy("listed", ...listed);
  });
});

/** A network process within its bounds, whatever its guest does, and what it is told and asked by the daemon. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Answer, Lab } from "../net/lab.js";
import { listed, names, open } from "../net/policies.js";

let lab: Lab;
before(async () => {
  lab = await Lab.open();
  await lab.do("table", { table: names });
});
after(() => lab.close());

const dns = (name: string, options: object = {}) => lab.do("dns", { name, ...options });

describe("bounds", () => {
  before(() => lab.policy("open", ...open));
  const most = { descriptors: 1_100, rssKiB: 20 * 1024 };
  async function within(answer: Answer): Promise<void> {
    assert.ok((answer["peakDescriptors"] as number) <= most.descriptors, JSON.stringify(answer));
    assert.ok((answer["hwmKiB"] as number) <= most.rssKiB, JSON.stringify(answer));
    // Whoever comes next is served.
    assert.equal(
      (await lab.talk("203.0.113.1", 8080, [Buffer.from("next\n")])).data?.endsWith("next\n"),
      true,
    );
    assert.deepEqual((await dns("a.example")).addresses, ["203.0.113.1"]);
    assert.equal((await lab.do("udp", { to: "203.0.113.1", port: 9999 })).size, 4);
  }
  const flood = (kind: string, options: object = {}) =>
    lab.do("flood", { kind, count: 4_000, to: "203.0.113.77", ...options });

  test("half-open connections, to one place or to many, give way to each other", async () => {
    await within(await flood("syn", { port: 81 }));
    await within(await flood("syn", { port: 81, spread: 200 }));
    assert.ok(Number((await lab.status())["tcp-half-open"]) <= 128);
  });

  test("so do connections that are open, datagrams, and names", async () => {
    await within(await flood("syn", { to: "203.0.113.1", port: 8080, count: 1_500 }));
    await within(await flood("udp", { to: "203.0.113.1", spread: 100 }));
    await within(await flood("dns"));
    await within(await flood("dns", { suffix: "silent.wild.example" }));
    await within(await flood("dhcp", { count: 20_000 }));
  });

  test("a thousand short connections leave nothing open", async () => {
    await lab.do("restart");
    await lab.policy("open", ...open);
    for (let n = 0; n < 1_000; n++) {
      const { handle, result } = await lab.do("tcp", { to: "203.0.113.1", port: 8080, wait: 10 });
      assert.equal(result, "open", `connection ${n}`);
      assert.equal((await lab.do("exchange", { handle, fin: true, wait: 10 })).end, "fin", `connection ${n}`);
    }
    const usage = await lab.do("usage");
    assert.ok(
      (usage["rssKiB"] as number) <= 16 * 1024 && (usage["descriptors"] as number) < 600,
      JSON.stringify(usage),
    );
  });
});

describe("the control socket", () => {
  test("forwards lead to the guest for this user, and for nobody else on the host", async () => {
    assert.equal((await lab.request("forward 127.50.0.1 8022 22")).end, "ok");
    assert.equal((await lab.request("forward 127.50.0.1 8022 22")).end, "ok");
    assert.equal((await lab.request("forward 127.50.0.1 8022 23")).end, "error in_use");
    assert.equal((await lab.request("forward 10.77.0.1 8022 22")).end, "error range");
    assert.equal((await lab.request("forward 127.0.0.1 7778 22")).end, "error in_use");
    assert.deepEqual((await lab.request("forwards")).lines, ["forward 127.50.0.1 8022 22"]);
    const to = { address: "127.50.0.1", port: 8022 };
    assert.deepEqual(await lab.do("forward_client", to), { accepted: true, heard: "guest speaks" });
    if (process.getuid?.() === 0)
      assert.deepEqual(await lab.do("forward_client", { ...to, uid: 1234, answer: false }), {
        accepted: false,
        heard: "",
      });
    await lab.policy("shared", ...open, "peers any");
    if (process.getuid?.() === 0)
      assert.equal((await lab.do("forward_client", { ...to, uid: 1234 })).accepted, true);
    for (let time = 1; time <= 2; time++)
      assert.equal((await lab.request("unforward 127.50.0.1 8022")).end, "ok");
    assert.deepEqual((await lab.request("forwards")).lines, []);
  });

  test("a table that is wrong anywhere changes nothing", async () => {
    await lab.policy("good", ...open);
    for (const bad of [
      ["default maybe x", "names open"],
      ["default allow x"],
      ["names open"],
      [...open, "rule deny any 10.0.0.1/8 0-65535 x"],
      [...open, "rule deny any 10.0.0.0/33 0-65535 x"],
      [...open, "rule deny any 10.0.0.0/8 9-8 x"],
      [...open, "rule deny any 10.0.0.0/8 0-65536 x"],
      [...open, "rule deny sctp 10.0.0.0/8 0-65535 x"],
      [...open, "rule deny any 10.0.0.0/8 0-65535 x y"],
      [...open, "name allow any *.*.example 0-65535 x"],
      [...open, "name allow any UPPER.example 0-65535 x"],
      [...open, "host icmp 22 x"],
      [...open, "resolver 1.2.3"],
      [...open, "something else"],
      [...open, "two  spaces"],
    ])
      assert.match(
        (await lab.request("policy bad", ...bad, "commit")).end,
        /^error (syntax|range)$/,
        bad.at(-1),
      );
    assert.equal((await lab.status())["policy"], "good");
    const many = Array.from({ length: 1_025 }, (_, n) => `rule deny any 10.0.0.0/8 0-65535 r${n}`);
    assert.equal(
      (await lab.request("policy many", "default deny d", "names open", ...many, "commit")).end,
      "error full",
    );
  });

  test("what it says would happen is what happens", async () => {
    await lab.do("restart");
    await lab.policy("listed", ...listed);
    await dns("a.example");
    for (const [host, port] of [
      ["a.example", 8080],
      ["203.0.113.1", 8080],
      ["203.0.113.2", 443],
      ["evil.example", 443],
      ["192.168.7.7", 8080],
      ["192.168.7.7", 80],
      ["127.0.0.1", 7778],
      ["10.0.2.2", 7778],
      ["10.0.2.2", 7777],
      ["10.77.0.1", 22],
    ] as const) {
      const { end } = await lab.request(`check tcp ${host} ${port}`);
      const to = host === "a.example" ? "203.0.113.1" : host;
      const really = host === "evil.example" ? "reset" : await lab.tcp(to, port);
      assert.equal(end.split(" ")[1], really === "open" ? "allow" : "deny", `${host}:${port}: ${end}`);
    }
  });

  test("the first denial of a place is told apart from the next", async () => {
    const { lines } = await lab.request("destinations");
    const denied = lines.find((line) => / deny tcp 10\.77\.0\.1 22 - /.test(line)) ?? "";
    assert.match(denied, /^destination \d+ \d+ 1 deny tcp 10\.77\.0\.1 22 - floor:own-address floor$/);
    await lab.tcp("10.77.0.1", 22);
    const { answer = "" } = (await lab.do("spew", { hex: Buffer.from("log 0\n").toString("hex") })) as {
      answer: string;
    };
    const told = answer.split("\n").filter((line) => line.includes(" deny tcp 10.77.0.1 22 "));
    assert.deepEqual(
      told.map((line) => line.split(" ")[3]),
      ["first", "again"],
    );
  });

  test("whatever is written to it, it goes on", async () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
    const words = [
      "policy",
      "commit",
      "rule",
      "name",
      "log",
      "check",
      "forward",
      "status",
      "x",
      "1",
      "",
      "allow",
      "tcp",
    ];
    for (let n = 0; n < 60; n++) {
      const text = Array.from({ length: random(40) }, () => words[random(words.length)]).join(
        random(2) ? " " : "\n",
      );
      const bytes = Buffer.concat([
        Buffer.from(text),
        Buffer.from([random(256), 10]),
        Buffer.alloc(random(700), 65),
      ]);
      assert.equal((await lab.do("spew", { hex: bytes.toString("hex") }))["alive"], true, text);
    }
    assert.equal((await lab.request("hello")).end, "ok banger-net 1");
  });
});

test("frames of every sort, half right and half wrong: it lives, within its bounds", async () => {
  await lab.policy("open", ...open);
  const count = Number(process.env["BANGER_TEST_FRAMES"] ?? 5_000);
  const { alive, descriptors, hwmKiB } = await lab.do("fuzz", { seed: 42, count });
  assert.equal(alive, true);
  assert.ok((descriptors as number) <= 1_100 && (hwmKiB as number) <= 24 * 1024, `${descriptors} ${hwmKiB}`);
  const reached = new Set((await lab.do("seen"))["reached"] as string[]);
  assert.deepEqual(reached, new Set(["127.0.0.1:7778"]), "by the port that was opened");
});

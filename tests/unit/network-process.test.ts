/** A real network process against a guest that may send anything: what gets through, and what is refused. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Lab } from "../net/lab.js";
import { names, open } from "../net/policies.js";

/** What a host is to itself, by every name; and what only it reaches. */
const ofTheHost = [
  ...["127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.2.2", "10.0.2.3", "10.0.2.15", "10.0.2.99"],
  ...["10.77.0.1", "10.77.0.11", "192.0.2.1", "10.77.0.255", "255.255.255.255", "224.0.0.1", "240.0.0.1"],
];
const notPublic = ["10.77.0.2", "192.168.7.7", "172.20.0.9", "100.64.0.9", "169.254.169.254"];

let lab: Lab;
before(async () => {
  lab = await Lab.open();
  await lab.do("table", { table: names });
});
after(() => lab.close());

const asked = async () => ((await lab.do("asked")) as unknown as { name: string }[]).map(({ name }) => name);
const dns = (name: string, options: object = {}) => lab.do("dns", { name, ...options });
const codeOf = async (name: string, options: object = {}) => (await dns(name, options)).code;

describe("without a policy", () => {
  test("nothing passes, and nobody is left waiting", async () => {
    assert.equal(await lab.tcp("203.0.113.1", 8080), "reset");
    assert.equal((await lab.do("udp", { to: "203.0.113.1", port: 9999 })).code, 13);
    assert.equal(await codeOf("a.example"), 5);
    assert.deepEqual(await asked(), []);
    assert.equal((await lab.do("ping", { to: "10.0.2.2" })).result, "icmp-echo");
  });
});

describe("under public", () => {
  before(() => lab.policy("open", ...open));

  test("the internet answers by TCP, UDP and ping, by address and by name", async () => {
    const { data } = await lab.talk("203.0.113.1", 8080, [Buffer.from("hi\n")]);
    assert.equal(data, "hello 203.0.113.1\nhi\n");
    for (const size of [4, 1400, 20_000])
      assert.equal((await lab.do("udp", { to: "203.0.113.1", port: 9999, data: `big${size}` })).size, size);
    assert.equal((await lab.do("udp", { to: "203.0.113.1", port: 9 })).code, 3, "port unreachable");
    assert.equal((await lab.do("ping", { to: "203.0.113.1" })).result, "icmp-echo");
    assert.deepEqual((await dns("A.exAmple")).addresses, ["203.0.113.1"]);
    assert.deepEqual((await dns("x.b.example")).addresses, ["203.0.113.2", "203.0.113.1"]);
    assert.equal((await lab.talk("203.0.113.1", 443, [Buffer.from("no TLS at all")])).end, "quiet");
  });

  for (const [what, list] of [
    ["the host", ofTheHost],
    ["its LAN, other private networks and clouds' metadata", notPublic],
  ] as const)
    test(`${what}: refused at once, and never reached`, async () => {
      for (const to of list) {
        for (const port of [7777, 7778, 80, 22])
          assert.equal(await lab.tcp(to, port), "reset", `${to}:${port}`);
        const { result, code } = await lab.do("udp", { to, port: 9999 });
        assert.deepEqual([result, code], ["icmp", 13], to);
      }
      assert.deepEqual((await lab.do("seen"))["reached"], []);
      assert.equal((await lab.status())["late-refused"], "0");
    });

  test("a name that is answered with an address of the host or its LAN has none", async () => {
    for (const name of ["lan", "self", "host", "mixed"])
      assert.equal(await codeOf(`${name}.b.example`), 3, name);
    const { lines } = await lab.request("destinations");
    assert.ok(lines.some((line) => line.endsWith("lan.b.example floor:rebinding rebinding")));
  });

  test("nobody else is heard on a socket that the guest speaks through", async () => {
    await lab.do("udp", { to: "203.0.113.1", port: 9999, mine: 3333 });
    const ports = Array.from({ length: 200 }, (_, n) => 32_768 + n);
    await lab.do("send", { to: "10.77.0.1", ports });
    assert.equal((await lab.do("udp", { to: "203.0.113.1", port: 9999, mine: 3333 })).size, 4);
  });
});

describe("what a guest may not send", () => {
  before(() => lab.policy("open", ...open));
  const silent = async (options: object) =>
    assert.equal(
      await lab.tcp("203.0.113.1", 8080, { wait: 0.3, ...options }),
      "silent",
      JSON.stringify(options),
    );

  test("fragments, options, other addresses", async () => {
    await silent({ fragment: true });
    await silent({ options: "01010101" });
    await silent({ source: "10.0.2.16" });
    await silent({ source: "203.0.113.9" });
  });

  test("frames from another MAC, of IPv6, and of ARP about others", async () => {
    const [gateway, other, guest] = ["52550a000202", "525400999999", "525400123456"];
    const arp = (sender: string, mac: string) => `08060001080006040001${mac}${sender}0000000000000a000202`;
    const answers = async (hex: string) =>
      ((await lab.do("frame", { hex, wait: 0.2 })).frames as string[]).length;
    assert.equal(await answers(`ffffffffffff${guest}${arp("0a00020f", guest)}`), 1, "its own question");
    assert.equal(await answers(`ffffffffffff${other}${arp("0a00020f", other)}`), 0);
    assert.equal(await answers(`ffffffffffff${guest}${arp("0a000202", guest)}`), 0, "the gateway's address");
    assert.equal(await answers(`ffffffffffff${guest}${arp("0a00020f", other)}`), 0);
    const six = `6000000000083aff${"fe80".padEnd(31, "0")}a${"fe80".padEnd(31, "0")}28000000000000000`;
    assert.equal(await answers(`${gateway}${guest}86dd${six}`), 0);
    assert.equal(await lab.tcp("203.0.113.1", 8080), "open", "and it goes on");
  });
});

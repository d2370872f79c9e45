/** Names: what `dig` is told by the real server for each record and error, and what bytes from nowhere do to it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { type Answer, decode, encode } from "dns-packet";
import fc from "fast-check";
import { initialState } from "../../src/core/projection.js";
import { build, replyTo } from "../../src/dns/message.js";
import { type DnsServer, serveDns } from "../../src/dns/server.js";
import { answer, namesOf } from "../../src/dns/zone.js";
import { bridgeRange, loopbackRange } from "../../src/home/addresses.js";
import type { State, Vm } from "../../src/model/model.js";
import { vmAfterTypes } from "../fixtures.js";
import { reached } from "../reached.js";

const addresses = loopbackRange(7);
const made = vmAfterTypes("vm.created");
const box: Vm = { ...made, id: "0a1b2c3d", name: "box", address: "127.7.1.2" };
const gone: Vm = { ...made, id: "0a1b2c3e", name: "gone", address: "127.7.1.3", phase: "deleted" };
let state: State = { ...initialState, vms: { [box.id]: box, [gone.id]: gone } };
const names = namesOf(() => state);
const reply = (message: Buffer, transport: "udp" | "tcp" = "udp") =>
  replyTo(message, { names, addresses, transport });

const query = (name: string, more: object = {}): Buffer =>
  encode({ type: "query", id: 77, questions: [{ type: "A", name }], ...more });

describe("dig", () => {
  let server: DnsServer;
  const warnings: string[] = [];
  before(async () => {
    server = await serveDns({
      host: "127.0.0.1",
      port: 0,
      names,
      addresses,
      warn: (message) => warnings.push(message),
    });
  });
  after(async () => {
    await server.close();
    assert.deepEqual(warnings, []);
  });

  const dig = async (...words: string[]) => {
    const [host = "", port = ""] = server.address.split(":");
    const common = [`@${host}`, "-p", port, "+time=5", "+tries=1", "+nosearch"];
    const { stdout } = await promisify(execFile)("dig", [...common, ...words]);
    /** Lines of a section without their TTL. */
    const section = (name: string): string[] =>
      (new RegExp(`;; ${name} SECTION:\\n((?:[^;\\n].*\\n)*)`).exec(stdout)?.[1] ?? "")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) =>
          line
            .split(/\s+/)
            .filter((_, column) => column !== 1)
            .join(" "),
        );
    return {
      status: /status: (\w+)/.exec(stdout)?.[1],
      flags: /flags: ([a-z ]*);/.exec(stdout)?.[1]?.split(" ") ?? [],
      answers: section("ANSWER"),
      authorities: section("AUTHORITY"),
      text: stdout,
    };
  };

  const soa = (zone: string) => [`${zone}. IN SOA localhost. banger.localhost. 1 60 60 60 1`];

  test("A: the VM's address, authoritative, whatever the case, over UDP and TCP", async () => {
    for (const more of [[], ["+tcp"], ["+noedns"]]) {
      const { status, flags, answers } = await dig("BoX.vm", "A", ...more);
      assert.deepEqual([status, answers], ["NOERROR", ["BoX.vm. IN A 127.7.1.2"]], more.join());
      assert.ok(flags.includes("aa") && !flags.includes("tc"), flags.join());
    }
  });

  test("what a VM has no record of is empty, with the zone's SOA", async () => {
    for (const type of ["AAAA", "MX", "TXT", "HTTPS"]) {
      const { status, answers, authorities } = await dig("box.vm", type);
      assert.deepEqual([status, answers, authorities], ["NOERROR", [], soa("vm")], type);
    }
  });

  test("NXDOMAIN with the SOA: a name that no VM has, or no longer has, or had no right to", async () => {
    for (const name of ["nobody.vm", "gone.vm", "www.box.vm"]) {
      const { status, answers, authorities } = await dig(name);
      assert.deepEqual([status, answers, authorities], ["NXDOMAIN", [], soa("vm")], name);
    }
  });

  test("the zone itself has SOA and NS", async () => {
    assert.deepEqual((await dig("vm", "SOA")).answers, soa("vm"));
    assert.deepEqual((await dig("vm", "NS")).answers, ["vm. IN NS localhost."]);
    assert.deepEqual((await dig("vm", "A")).authorities, soa("vm"));
  });

  test("PTR: the VM's name for its address, and NXDOMAIN for one that is free", async () => {
    assert.deepEqual((await dig("-x", "127.7.1.2")).answers, ["2.1.7.127.in-addr.arpa. IN PTR box.vm."]);
    for (const address of ["127.7.1.3", "127.7.200.1"]) {
      const { status, authorities } = await dig("-x", address);
      assert.deepEqual([status, authorities], ["NXDOMAIN", soa("7.127.in-addr.arpa")], address);
    }
    assert.equal((await dig("1.7.127.in-addr.arpa", "PTR")).status, "NOERROR");
    assert.equal((await dig("300.7.127.in-addr.arpa", "PTR")).status, "NXDOMAIN");
  });

  test("REFUSED: other zones, other homes' addresses, other classes, transfers", async () => {
    const refused = [["example.com"], ["boxvm"], ["."], ["-x", "127.8.1.2"], ["-c", "CH", "box.vm"]];
    for (const words of refused) assert.equal((await dig(...words)).status, "REFUSED", words.join(" "));
    assert.match((await dig("vm", "AXFR")).text, /Transfer failed/);
  });

  test("EDNS is answered with ours, its unknown versions with BADVERS", async () => {
    assert.match((await dig("box.vm")).text, /EDNS: version: 0, flags:; udp: 1232/);
    assert.doesNotMatch((await dig("box.vm", "+noedns")).text, /EDNS/);
    const { status, answers } = await dig("box.vm", "+edns=1", "+noednsnegotiation");
    assert.deepEqual([status, answers], ["BADVERS", []]);
  });

  test("what is no question says so: NOTIMP, FORMERR", async () => {
    assert.equal((await dig("box.vm", "+opcode=status")).status, "NOTIMP");
    assert.equal((await dig("box.vm", "+header-only")).status, "FORMERR");
  });

  test("records follow the state", async () => {
    const before = state;
    state = { ...state, vms: { ...state.vms, [gone.id]: { ...gone, phase: "running" } } };
    assert.deepEqual((await dig("gone.vm")).answers, ["gone.vm. IN A 127.7.1.3"]);
    state = { ...before, vms: {} };
    assert.equal((await dig("box.vm")).status, "NXDOMAIN");
    state = before;
  });

  test("several questions on one connection, however they are cut, get their answers in order", async () => {
    const [host = "", port = ""] = server.address.split(":");
    const socket = connect(Number(port), host);
    const bytes = Buffer.concat(
      ["box.vm", "nobody.vm"].map((name) => {
        const message = query(name);
        return Buffer.concat([Buffer.from([0, message.length]), message]);
      }),
    );
    for (const byte of bytes) socket.write(Buffer.from([byte]));
    let got = Buffer.alloc(0);
    const rcodes: (string | undefined)[] = [];
    for await (const chunk of socket) {
      got = Buffer.concat([got, chunk as Buffer]);
      while (got.length >= 2 && got.length >= 2 + got.readUInt16BE(0)) {
        rcodes.push((decode(got.subarray(2, 2 + got.readUInt16BE(0))) as { rcode?: string }).rcode);
        got = got.subarray(2 + got.readUInt16BE(0));
      }
      if (rcodes.length === 2) socket.end();
    }
    assert.deepEqual(rcodes, ["NOERROR", "NXDOMAIN"]);
  });
});

test("where the port is taken any free one serves", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  t.after(() => other.close());
  const { port } = other.address() as { port: number };
  const server = await serveDns({ host: "127.0.0.1", port, names, addresses, warn: () => {} });
  t.after(() => server.close());
  assert.match(server.address, /^127\.0\.0\.1:\d+$/);
  assert.notEqual(server.address, `127.0.0.1:${port}`);
});

test("a reply that is too long goes without its records and says so", () => {
  const answers = Array.from(
    { length: 40 },
    (_, n): Answer => ({ type: "A", name: "box.vm", data: `127.7.0.${n}` }),
  );
  const asked = { header: query("box.vm"), question: query("box.vm").subarray(12), edns: undefined };
  const short = build(asked, "NOERROR", 512, { answers, authorities: [] });
  assert.deepEqual([decode(short).flag_tc, decode(short).answers], [true, []]);
  assert.equal(decode(short).questions?.[0]?.name, "box.vm");
  const long = build(asked, "NOERROR", 65_535, { answers, authorities: [] });
  assert.deepEqual([decode(long).flag_tc, decode(long).answers?.length], [false, 40]);
});

test("the question comes back byte for byte, and the id with it", () => {
  const asked = query("BoX.Vm");
  const answered = reply(asked) as Buffer;
  assert.deepEqual(answered.subarray(12, asked.length), asked.subarray(12));
  assert.equal(answered.readUInt16BE(0), 77);
});

test("a reply is never answered, and neither is less than a header: nobody can make two servers talk", () => {
  assert.equal(reply(encode({ type: "response", questions: [{ type: "A", name: "box.vm" }] })), undefined);
  assert.equal(reply(Buffer.alloc(11)), undefined);
});

test("whatever the bytes, the reply is none or a message that fits", (t) => {
  const hit = reached(t, { none: 100, refused: 300, answered: 100 });
  const good = query("box.vm", {
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 4096, options: [] }],
  });
  const mutated = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 })
    .chain((changes) =>
      fc.nat(good.length).map((length) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        return length < 12 ? bytes : bytes.subarray(0, length);
      }),
    );
  const noise = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(mutated, noise), (message) => {
      const answered = reply(message);
      if (answered === undefined) return hit("none");
      assert.ok(answered.length >= 12 && answered.length <= 1232);
      assert.equal(answered.readUInt16BE(0), message.readUInt16BE(0));
      hit((decode(answered).answers ?? []).length > 0 ? "answered" : "refused");
    }),
    { numRuns: 3000 },
  );
});

test("the reverse zones of a network end at dots, and hold its addresses alone", () => {
  const there = namesOf(() => ({ ...initialState, vms: { a: { ...box, address: "172.16.35.9" } } }));
  const ask = (prefixLength: number, address: string, type: "PTR" | "SOA" = "PTR") => {
    const name = `${address.split(".").reverse().join(".")}.in-addr.arpa`;
    const range = bridgeRange("172.16.35.1", prefixLength);
    const { verdict, answers, authorities } = answer({ name, type }, there, range);
    return [verdict, ...answers.map(({ type: of }) => of), ...authorities.map((each) => each.name)];
  };
  assert.deepEqual(ask(24, "172.16.35.9"), ["NOERROR", "PTR"]);
  assert.deepEqual(ask(24, "172.16.35.8"), ["NXDOMAIN", "35.16.172.in-addr.arpa"]);
  assert.deepEqual(ask(24, "172.16.36.9"), ["REFUSED"]);
  assert.deepEqual(ask(24, "172.16"), ["REFUSED"]);
  assert.deepEqual(ask(24, "172.16.35", "SOA"), ["NOERROR", "SOA"]);
  assert.deepEqual(ask(20, "172.16.35.9"), ["NOERROR", "PTR"]);
  assert.deepEqual(ask(20, "172.16.47.9"), ["NXDOMAIN", "47.16.172.in-addr.arpa"]);
  assert.deepEqual(ask(20, "172.16.48.9"), ["REFUSED"]);
  assert.deepEqual(ask(16, "172.16.35"), ["NOERROR", "16.172.in-addr.arpa"]);
  assert.deepEqual(ask(8, "172.16"), ["NOERROR", "172.in-addr.arpa"]);
  assert.deepEqual(ask(25, "172.16.35.9"), ["NOERROR", "PTR"]);
  assert.deepEqual(ask(25, "172.16.35.129"), ["REFUSED"]);
  assert.deepEqual(ask(24, "172.16.35.300"), ["NXDOMAIN", "35.16.172.in-addr.arpa"]);
});

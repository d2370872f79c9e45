/** What must hold of packets between guests, host and outside, whichever firewall the host has. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import type { test as nodeTest } from "node:test";
import { ensureBridge } from "../../helper/methods/ensure-bridge.js";
import { ensureNat } from "../../helper/methods/ensure-nat.js";
import { ensureNoNat } from "../../helper/methods/ensure-no-nat.js";
import { echo, echoMark, type Heard, ipv4, udp } from "./frames.js";
import { type Guest, type Scene, stranger, uplink, withGuests } from "./guests.js";
import { sh, snapshot, type TestContext } from "./host.js";

const udpTo = (port: number) => (frame: Heard) =>
  frame.ip?.protocol === 17 && frame.ip.payload.readUInt16BE(2) === port;
/** ICMP "administratively prohibited". */
const isRefused = ({ ip }: Heard) => ip?.protocol === 1 && ip.payload[0] === 3 && ip.payload[1] === 13;

/** Sends a datagram out; yields what arrives of it out there, if anything does. */
async function goesOut({ outside }: Scene, guest: Guest, port: number): Promise<Heard | undefined> {
  outside.forget();
  guest.wire.forget();
  guest.sendsIp(stranger.address, 17, udp(1000, port, "out"));
  await guest.reachesHost();
  return outside.has(udpTo(port)) ? outside.hears("what is there", udpTo(port)) : undefined;
}

/** The answer to that datagram comes back to the guest. */
async function comesBack(scene: Scene, guest: Guest, { ip }: Heard): Promise<void> {
  assert.ok(ip);
  const ports = [ip.payload.readUInt16BE(2), ip.payload.readUInt16BE(0)] as const;
  scene.sends(ipv4(stranger.address, ip.from, 17, udp(...ports, "back")));
  const answer = await guest.wire.hears("the answer", udpTo(1000));
  assert.deepEqual([answer.ip?.from, answer.ip?.to], [stranger.address, guest.address]);
}

async function listening(address: string): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return server;
}

const portOf = (server: Server): number => (server.address() as { port: number }).port;

/** The first packet of a TCP connection. */
function syn(guest: Guest, to: string, port: number): void {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(2000, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(0x5002, 12);
  header.writeUInt16BE(1024, 14);
  const pseudo = Buffer.concat([
    ipv4(guest.address, to, 6, Buffer.alloc(0)).subarray(12, 20),
    Buffer.from([0, 6, 0, 20]),
  ]);
  let sum = 0;
  const all = Buffer.concat([pseudo, header]);
  for (let at = 0; at < all.length; at += 2) sum += all.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  header.writeUInt16BE(~sum & 0xffff, 16);
  guest.sendsIp(to, 6, header);
}

/** Somebody took the connection. */
const isSynAck = ({ ip }: Heard) => ip?.protocol === 6 && (ip.payload[13] ?? 0) === 0x12;

type Scenario = (title: string, body: (scene: Scene) => Promise<void>) => void;

export function natTests(test: typeof nodeTest, context: TestContext): void {
  const bare = snapshot({ emptyTables: false });
  const scenario: Scenario = (title, body) =>
    void test(title, async () => {
      await withGuests(context, body);
      assert.equal(snapshot({ emptyTables: false }), bare);
    });
  wayOut(scenario, context);
  wayIn(scenario, context);
  hostServices(scenario, context);
}

function wayOut(scenario: Scenario, context: TestContext): void {
  for (const filtered of ["1", "0"]) {
    scenario(`out and back only with NAT, bridge-nf-call-iptables=${filtered}`, async (scene) => {
      sh(`sysctl -qw net.bridge.bridge-nf-call-iptables=${filtered}`);
      const { one, two } = scene;
      await ensureNat(one, context);
      const gone = await goesOut(scene, one, 7000);
      assert.equal(gone?.ip?.from, uplink.address);
      await comesBack(scene, one, gone as Heard);

      assert.equal(await goesOut(scene, two, 7001), undefined);
      await two.wire.hears("the refusal", isRefused);

      await ensureNoNat(one, context);
      assert.equal(await goesOut(scene, one, 7002), undefined);
      // Also of what was under way.
      assert.equal(await goesOut(scene, one, 7000), undefined);
    });
  }

  scenario("a guest is refused at once, though the host forwards nothing", async (scene) => {
    assert.equal(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8"), "0\n");
    assert.equal(await goesOut(scene, scene.one, 7000), undefined);
    await scene.one.wire.hears("the refusal", isRefused);
  });

  scenario(
    "where the host forwards nothing by default, guests get out by NAT all the same",
    async (scene) => {
      sh("iptables -P FORWARD DROP");
      try {
        sh("sysctl -qw net.bridge.bridge-nf-call-iptables=1");
        await ensureBridge({}, context);
        await ensureNat(scene.one, context);
        const gone = await goesOut(scene, scene.one, 7000);
        assert.equal(gone?.ip?.from, uplink.address);
        await comesBack(scene, scene.one, gone as Heard);
        assert.equal(await goesOut(scene, scene.two, 7001), undefined);
        await scene.one.reaches(scene.two, 702);
      } finally {
        sh("iptables -P FORWARD ACCEPT");
      }
    },
  );
}

function wayIn(scenario: Scenario, context: TestContext): void {
  scenario("nobody outside reaches a guest that did not ask", async (scene) => {
    const { one, two } = scene;
    await ensureNat(one, context);
    for (const guest of [one, two]) {
      guest.wire.forget();
      scene.sends(ipv4(stranger.address, guest.address, 17, udp(9, 9, "in")));
      scene.sends(ipv4(stranger.address, guest.address, 1, echo("request", 700)));
      // The host's answer out there says that both were dealt with.
      scene.sends(ipv4(stranger.address, uplink.address, 1, echo("request", 701)));
      await scene.outside.hears("the host's answer", (frame) => echoMark(frame, "reply") === 701);
      scene.outside.forget();
      assert.ok(!guest.wire.has(({ ip }) => ip?.from === stranger.address));
    }
  });

  for (const from of ["172.16.0.1", uplink.address]) {
    scenario(`the host reaches its guests from ${from}, and they answer`, async ({ one }) => {
      const socket = createSocket("udp4");
      try {
        await new Promise<void>((resolve) => socket.bind(0, from, resolve));
        one.wire.forget();
        socket.send("hello", 9000, one.address);
        const { ip } = await one.wire.hears("the host", udpTo(9000));
        assert.equal(ip?.from, from);
        const answer = once(socket, "message", { signal: AbortSignal.timeout(10_000) });
        one.sendsIp(from, 17, udp(9000, ip.payload.readUInt16BE(0), "there"));
        assert.equal(`${(await answer)[0]}`, "there");
      } finally {
        socket.close();
      }
    });
  }
}

function hostServices(scenario: Scenario, context: TestContext): void {
  scenario(
    "what listens at the bridge's address is reached, with and without NAT; loopback and others not",
    async (scene) => {
      const { one, two } = scene;
      await ensureNat(one, context);
      // As if somebody had opened the kernel's own door.
      sh("sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.br-fc.route_localnet=1");
      const servers = await Promise.all(["172.16.0.1", "127.0.0.1", uplink.address].map(listening));
      try {
        for (const guest of [one, two]) {
          const [bridge, loopback, other] = servers as [Server, Server, Server];
          guest.wire.forget();
          syn(guest, "127.0.0.1", portOf(loopback));
          syn(guest, uplink.address, portOf(other));
          guest.sendsIp("127.0.0.1", 1, echo("request", 800));
          guest.sendsIp(uplink.address, 1, echo("request", 801));
          guest.sendsIp("172.16.0.255", 1, echo("request", 802));
          await guest.reachesHost();
          assert.ok(!guest.wire.has(({ ip }) => ip !== undefined && ip.from !== "172.16.0.1"));
          assert.ok(!guest.wire.has(isSynAck));
          syn(guest, "172.16.0.1", portOf(bridge));
          await guest.wire.hears("the server at the bridge", isSynAck);
        }
      } finally {
        for (const server of servers) server.close();
        sh("sysctl -qw net.ipv4.conf.all.route_localnet=0");
      }
    },
  );

  scenario("a DNAT of the host's to a loopback service opens it to no guest", async ({ one }) => {
    sh("sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.br-fc.route_localnet=1");
    const loopback = await listening("127.0.0.1");
    const dnat = `PREROUTING -p tcp --dport 99 -j DNAT --to 127.0.0.1:${portOf(loopback)}`;
    try {
      sh(`iptables -t nat -A ${dnat}`);
      one.wire.forget();
      syn(one, "172.16.0.1", 99);
      await one.reachesHost();
      assert.ok(!one.wire.has(isSynAck));
    } finally {
      loopback.close();
      sh(`iptables -t nat -D ${dnat}; sysctl -qw net.ipv4.conf.all.route_localnet=0`);
    }
  });

  scenario("a service that another program publishes at the bridge's address is reached", async (scene) => {
    const dnat = `PREROUTING -p udp -d 172.16.0.1 --dport 53 -j DNAT --to ${stranger.address}:5353`;
    sh(`iptables -t nat -A ${dnat}; sysctl -qw net.ipv4.ip_forward=1`);
    try {
      const { two, outside } = scene;
      two.sendsIp("172.16.0.1", 17, udp(1000, 53, "ask"));
      const asked = await outside.hears("the question", udpTo(5353));
      scene.sends(ipv4(stranger.address, asked.ip?.from ?? "", 17, udp(5353, 1000, "told")));
      const told = await two.wire.hears("the answer", udpTo(1000));
      assert.equal(told.ip?.from, "172.16.0.1");
    } finally {
      sh(`iptables -t nat -D ${dnat}; sysctl -qw net.ipv4.ip_forward=0`);
    }
  });
}

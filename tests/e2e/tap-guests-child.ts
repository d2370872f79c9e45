/** Two real guests on taps of the helper, in a network of their own: argv is the image's directory and the first root. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { after, before, test } from "node:test";
import { ensureBridge } from "../../helper/methods/ensure-bridge.js";
import { ensureNat } from "../../helper/methods/ensure-nat.js";
import { ensureNoBridge } from "../../helper/methods/ensure-no-bridge.js";
import { ensureNoNat } from "../../helper/methods/ensure-no-nat.js";
import { ensureNoTap } from "../../helper/methods/ensure-no-tap.js";
import { ensureTap } from "../../helper/methods/ensure-tap.js";
import { vmHandles } from "../../src/home/handles.js";
import { kernelFile, rootfsFile } from "../../src/images/manifest.js";
import { contextOf, sh, snapshot } from "../helper/host.js";
import { metadataOf } from "../helper/metadata.js";
import { TapGuest } from "./tap-guest.js";

const [image = "", initrd = ""] = process.argv.slice(2);
const top = mkdtempSync("/tmp/banger-tap-");
const metadata = metadataOf(top, 4242);
const context = contextOf({ metadata });
const empty = snapshot();

const host = "172.16.0.1";
const uplink = "192.0.2.1";
const stranger = "192.0.2.9";
const vms = [
  { vmId: "00000001", address: "172.16.0.2" },
  { vmId: "00000002", address: "172.16.0.3" },
] as const;

let one: TapGuest;
let two: TapGuest;
let outside: ChildProcess;
/** At the bridge's address, at the loopback address and at the uplink's, in this order; each tells who asked. */
let servers: Server[];
const asked: string[] = [];

async function serve(address: string): Promise<Server> {
  const server = createServer(({ socket }, reply) => {
    asked.push(`${address} by ${socket.remoteAddress}`);
    reply.end(`${socket.remoteAddress}\n`);
  });
  await new Promise<void>((resolve) => server.listen(8080, address, resolve));
  return server;
}

const outsideServer = `require("http").createServer(({ socket }, reply) => reply.end(socket.remoteAddress + "\\n"))
  .listen(8080, "${stranger}", () => console.log("listening"))`;

/** A namespace beyond the host's uplink, which knows nothing of the guests' network. */
async function startOutside(): Promise<void> {
  sh(`ip netns add outside; ip link add uplink type veth peer name eth0 netns outside
    ip addr add ${uplink}/24 dev uplink; ip link set uplink up
    ip -n outside addr add ${stranger}/24 dev eth0; ip -n outside link set eth0 up`);
  outside = spawn("ip", ["netns", "exec", "outside", process.execPath, "-e", outsideServer]);
  assert.ok(outside.stdout);
  await once(outside.stdout, "data");
}

function makeHome(): void {
  const { uid, gid } = metadata.owner;
  for (const { vmId } of vms) {
    const { directory, runtime } = vmHandles(metadata.home, vmId);
    for (const path of [directory, runtime]) {
      mkdirSync(path, { recursive: true });
      chownSync(path, uid, gid);
    }
  }
  for (const [from, to] of [
    [`${image}/${kernelFile}`, "kernel"],
    [initrd, "initrd"],
  ] as const) {
    copyFileSync(from, `${top}/${to}`);
    chownSync(`${top}/${to}`, uid, gid);
  }
  chownSync(top, uid, gid);
}

before(async () => {
  // As udev makes it: the kernel asks of who opens a tap whether it is his. Without udev only root may come to be asked.
  sh("mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun");
  await startOutside();
  await ensureBridge({}, context);
  servers = await Promise.all([host, "127.0.0.1", uplink].map(serve));
  makeHome();
  const files = { kernel: `${top}/kernel`, initrd: `${top}/initrd`, rootfs: `${image}/${rootfsFile}` };
  for (const vm of vms) await ensureTap(vm, context);
  [one, two] = vms.map((vm) => new TapGuest({ metadata, ...vm, ...files })) as [TapGuest, TapGuest];
  await Promise.all([one, two].map((guest) => guest.arrives(AbortSignal.timeout(180_000))));
});

after(async () => {
  await Promise.all([one, two].map((guest) => guest?.ends()));
  for (const server of servers ?? []) server.close();
  outside?.kill("SIGKILL");
  rmSync(top, { recursive: true, force: true });
});

/** What the server at that address says to the guest, who waits for it so many seconds. */
async function get(
  guest: TapGuest,
  address: string,
  { from = "", seconds = 20, port = 8080 } = {},
): Promise<string> {
  const local = from === "" ? "" : `LocalAddr => "${from}", `;
  const script =
    `use IO::Socket::INET; my $s = IO::Socket::INET->new(${local}PeerAddr => "${address}:${port}", ` +
    `Timeout => ${seconds}) or do { print "no: $@"; exit 1 }; print $s "GET / HTTP/1.0\\r\\n\\r\\n"; ` +
    `my @lines = <$s>; print $lines[-1]`;
  return (await guest.sh(`perl -e '${script}'`)).stdout.trim();
}

const isNone = /^no: /;
/** Long enough for an answer that comes; short enough for several that do not. */
const brief = { seconds: 3 };

test("a guest reaches what listens at the bridge's address, and each other", async () => {
  for (const guest of [one, two]) assert.equal(await get(guest, host), guest.address);
  const listener = `perl -e 'use IO::Socket::INET; my $l = IO::Socket::INET->new(LocalPort => 9000, Listen => 5) or die;
    open my $ready, ">", "/tmp/ready"; close $ready;
    while (my $c = $l->accept) { print $c $c->peerhost, "\\n"; close $c }' >/dev/null 2>&1 &
    until [ -e /tmp/ready ]; do sleep 0.1; done`;
  assert.equal((await two.sh(listener)).code, 0);
  assert.equal(await get(one, two.address, { port: 9000 }), one.address);
});

test("a guest gets out with NAT and while it has it, and the other does not", async () => {
  assert.match(await get(one, stranger), isNone);
  await ensureNat(vms[0], context);
  assert.equal(await get(one, stranger), uplink);
  assert.match(await get(two, stranger), isNone);
  await ensureNoNat(vms[0], context);
  assert.match(await get(one, stranger), isNone);
  assert.equal(await get(one, host), one.address);
});

const opened = "sysctl -qw net.ipv4.conf.all.route_localnet=1; ";
/** In the guest: what goes to 127.0.0.1 leaves by the network. */
const loopbackOut = `${opened} ip addr flush dev lo; ip route replace 127.0.0.1 via ${host} dev eth0`;
const loopbackBack = `ip route del 127.0.0.1; ip addr add 127.0.0.1/8 dev lo`;

test("a guest reaches neither the host's loopback services nor its other addresses", async () => {
  sh(`${opened} sysctl -qw net.ipv4.conf.br-fc.route_localnet=1`);
  await ensureNat(vms[0], context);
  asked.length = 0;
  const { code, stdout } = await one.sh(loopbackOut);
  assert.equal(code, 0, stdout);
  assert.match(await get(one, "127.0.0.1", brief), isNone);
  assert.match(await get(one, uplink, brief), isNone);
  assert.equal(await get(one, host), one.address);
  assert.deepEqual(asked, [`${host} by ${one.address}`]);
  await one.sh(loopbackBack);
  await ensureNoNat(vms[0], context);
});

/** The card that the host, or a guest, takes for that address. */
const cardOf = (neighbours: string): string | undefined => / lladdr (\S+)/.exec(neighbours)?.[1];
const cardAtHost = (address: string) => cardOf(sh(`ip neigh show ${address} dev br-fc`));

/** Tells everybody by ARP that this address is at the guest's own card. */
const claim = (address: string) => `perl -e '
  sub of { local @ARGV = "/sys/class/net/eth0/$_[0]"; my $line = <>; chomp $line; $line }
  my $card = pack "H12", join "", split /:/, of("address");
  my $index = of("ifindex");
  my $address = pack "C4", split /\\./, "${address}";
  my $all = "\\xff" x 6;
  socket(my $s, 17, 3, 0x0608) or die "socket: $!";
  my $to = pack "S n l S C C a8", 17, 0x0806, $index, 1, 0, 6, $all;
  for my $kind (1, 2) {
    my $frame = $all . $card . pack("n n n C C n", 0x0806, 1, 0x0800, 6, 4, $kind) . $card . $address . $all . $address;
    send($s, $frame, 0, $to) or die "send: $!";
  }'`;

test("a guest cannot speak as the other, nor as the host", async () => {
  assert.equal(await get(two, host), two.address);
  asked.length = 0;
  assert.equal((await one.sh(`ip addr add ${two.address}/24 dev eth0`)).code, 0);
  assert.match(await get(one, host, { ...brief, from: two.address }), isNone);
  await one.sh(`ip addr del ${two.address}/24 dev eth0`);

  for (const address of [two.address, host]) {
    const { code, stdout } = await one.sh(claim(address));
    assert.equal(code, 0, stdout);
  }
  // What it said before, everybody has heard by now or never will.
  assert.equal(await get(one, host), one.address);
  assert.equal(await get(one, two.address, { port: 9000 }), one.address);
  assert.deepEqual(asked, [`${host} by ${one.address}`]);
  assert.equal(cardAtHost(two.address), vmHandles(metadata.home, vms[1].vmId).mac);
  assert.equal(cardOf((await two.sh(`ip neigh show ${host}`)).stdout), "02:fc:ac:10:00:01");
  assert.equal(await get(two, host), two.address);
});

test("all of that is the rules' doing: without them the same guest does what it must not", async () => {
  sh("nft flush ruleset; sysctl -qw net.ipv4.ip_forward=1; ip -n outside route add default via 192.0.2.1");
  assert.equal(await get(one, stranger), one.address);
  assert.equal((await one.sh(claim(two.address))).code, 0);
  assert.equal(await get(one, host), one.address);
  assert.equal(cardAtHost(two.address), vmHandles(metadata.home, vms[0].vmId).mac);
  await one.sh(loopbackOut);
  assert.equal(await get(one, "127.0.0.1"), one.address);
  await one.sh(loopbackBack);
  sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.route_localnet=0");
});

test("afterwards the host is as it was", async () => {
  for (const vm of vms) await ensureTap(vm, context);
  await Promise.all([one, two].map((guest) => guest.ends()));
  for (const { vmId } of vms) await ensureNoTap({ vmId }, context);
  await ensureNoBridge({}, context);
  sh("ip link delete uplink");
  assert.equal(snapshot(), empty);
});

/** The methods ensureBridge, ensureNoBridge and ensureResolver on real links and rules. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, test } from "node:test";
import { lookAtNetwork } from "../../helper/look-network.js";
import { ensureBridge } from "../../helper/methods/ensure-bridge.js";
import { ensureNat } from "../../helper/methods/ensure-nat.js";
import { ensureNoBridge } from "../../helper/methods/ensure-no-bridge.js";
import { ensureResolver } from "../../helper/methods/ensure-resolver.js";
import { ensureTap } from "../../helper/methods/ensure-tap.js";
import { ensureTapPool } from "../../helper/methods/ensure-tap-pool.js";
import { HostFailure } from "../../helper/refusal.js";
import { contextOf, sh, snapshot } from "./host.js";

const context = contextOf();
const empty = snapshot();
const vm = { vmId: "1a2b3c4d", address: "172.16.0.2" };
const forward = () => readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim();

afterEach(async () => {
  sh("ip link delete other 2>/dev/null || true");
  await ensureNoBridge({}, context);
  assert.equal(snapshot(), empty);
});

test("a bridge with its address, up, without IPv6, and with every rule", async () => {
  assert.deepEqual(await lookAtNetwork(context), {
    bridge: false,
    tapPool: { size: 0 },
    ...{ taps: { ids: [] }, strayTaps: { ids: [] }, nats: { ids: [] } },
  });
  await ensureBridge({}, context);
  const [link] = JSON.parse(sh("ip -j -d addr show dev br-fc"));
  assert.equal(link.address, "02:fc:ac:10:00:01");
  assert.deepEqual(
    link.addr_info.map((each: { local: string; prefixlen: number }) => [each.local, each.prefixlen]),
    [["172.16.0.1", 24]],
  );
  assert.ok(link.flags.includes("UP"));
  assert.equal(readFileSync("/proc/sys/net/ipv6/conf/br-fc/disable_ipv6", "utf8"), "1\n");
  assert.equal((await lookAtNetwork(context)).bridge, true);
});

test("a second time changes nothing, neither there nor gone", async () => {
  await ensureBridge({}, context);
  const made = snapshot();
  await ensureBridge({}, context);
  assert.equal(snapshot(), made);
  await ensureNoBridge({}, context);
  await ensureNoBridge({}, context);
});

test("what somebody took of it is seen and mended, and guests keep what is theirs", async () => {
  await ensureBridge({}, context);
  await ensureTap(vm, context);
  await ensureNat(vm, context);
  const whole = snapshot();
  for (const damage of [
    "ip addr flush dev br-fc",
    "ip link set br-fc down",
    "nft flush chain inet banger to-host",
    "nft flush chain bridge banger guest",
    "nft delete chain inet banger before-routing",
    "echo 0 > /proc/sys/net/ipv4/ip_forward",
  ]) {
    sh(damage);
    assert.equal((await lookAtNetwork(context)).bridge, false, damage);
    await ensureBridge({}, context);
    assert.equal(snapshot(), whole, damage);
    assert.equal((await lookAtNetwork(context)).bridge, true, damage);
  }
});

test("after a flush of all rules the taps are strays until they are bound again", async () => {
  await ensureBridge({}, context);
  await ensureTap(vm, context);
  await ensureNat(vm, context);
  sh("nft flush ruleset");
  await ensureBridge({}, context);
  const seen = await lookAtNetwork(context);
  assert.deepEqual(
    [seen.bridge, seen.taps, seen.strayTaps, seen.nats],
    [true, { ids: [] }, { ids: [vm.vmId] }, { ids: [] }],
  );
  await ensureTap(vm, context);
  assert.deepEqual((await lookAtNetwork(context)).taps, { ids: [vm.vmId] });
});

const strangers = [
  "ip link add br-fc type veth peer name other",
  "ip link add br-fc type bridge",
  "ip link add br-fc address 02:fc:ac:10:00:01 type veth peer name other",
  "ip tuntap add dev br-fc mode tap",
];
for (const stranger of strangers) {
  test(`another's br-fc is refused by every method: ${stranger}`, async () => {
    sh(stranger);
    const before = snapshot();
    const refused = { name: "Error", rule: "own-bridge" };
    await assert.rejects(ensureBridge({}, context), refused);
    await assert.rejects(ensureNoBridge({}, context), refused);
    await assert.rejects(ensureResolver({ port: 5353 }, context), refused);
    await assert.rejects(ensureTapPool({ size: 2 }, context), refused);
    await assert.rejects(ensureTap(vm, context), refused);
    await assert.rejects(ensureNat(vm, context), refused);
    assert.match(JSON.stringify((await lookAtNetwork(context)).bridge), /unknown/);
    assert.equal(snapshot(), before);
    sh("ip link delete br-fc");
  });
}

test("a network that another interface lies in is not taken", async () => {
  for (const address of ["172.16.0.77/24", "172.16.0.130/25", "172.20.0.1/12", "172.16.0.1/32"]) {
    sh(`ip link add other type veth peer name other-end; ip addr add ${address} dev other`);
    const before = snapshot();
    await assert.rejects(ensureBridge({}, context), { code: "network_in_use" }, address);
    assert.equal(snapshot(), before);
    sh("ip link delete other");
  }
  sh("ip link add other type veth peer name other-end; ip addr add 172.16.1.1/24 dev other");
  await ensureBridge({}, context);
});

test("a port that somebody else attached keeps the bridge where it is", async () => {
  await ensureBridge({}, context);
  sh("ip link add other type veth peer name other-end; ip link set other master br-fc");
  const before = snapshot();
  await assert.rejects(ensureNoBridge({}, context), { rule: "own-ports" });
  assert.equal(snapshot(), before);
  sh("ip link set other nomaster");
  await ensureNoBridge({}, context);
  sh("ip link delete other");
});

test("a failure at any step leaves nothing of a bridge behind", async () => {
  const steps = contextOf();
  await ensureBridge({}, steps);
  await ensureNoBridge({}, context);
  for (let failing = 0; failing < steps.calls.length; failing++) {
    const failure = new HostFailure("tool_failed", "this step fails");
    let failed = false;
    const before = (count: number) => {
      if (count < failing || failed) return;
      failed = true;
      throw failure;
    };
    const outcome = await ensureBridge({}, contextOf({ before })).catch((cause: unknown) => cause);
    // The look at FORWARD is one that may fail: then there is nothing to fix.
    if (/-S FORWARD/.test(steps.calls[failing] ?? "")) await ensureNoBridge({}, context);
    else assert.equal(outcome, failure, steps.calls[failing]);
    assert.equal(snapshot(), empty, steps.calls[failing]);
  }
});

test("forwarding is put back to what it was", async () => {
  for (const was of ["0", "1"]) {
    sh(`echo ${was} > /proc/sys/net/ipv4/ip_forward`);
    await ensureBridge({}, context);
    assert.equal(forward(), was);
    await ensureTap(vm, context);
    await ensureNat(vm, context);
    await ensureNat(vm, context);
    assert.equal(forward(), "1");
    await ensureNoBridge({}, context);
    assert.equal(forward(), was);
  }
  sh("echo 0 > /proc/sys/net/ipv4/ip_forward");
});

test("a FORWARD chain that drops by default accepts the bridge at its end, until the bridge is gone", async () => {
  sh("iptables -P FORWARD DROP; iptables -A FORWARD -i lo -j RETURN");
  const before = snapshot();
  await ensureBridge({}, context);
  await ensureBridge({}, context);
  const lines = sh("iptables -S FORWARD").trim().split("\n");
  assert.deepEqual(lines, [
    "-P FORWARD DROP",
    "-A FORWARD -i lo -j RETURN",
    "-A FORWARD -i br-fc -m comment --comment banger -j ACCEPT",
    "-A FORWARD -o br-fc -m comment --comment banger -j ACCEPT",
  ]);
  assert.equal((await lookAtNetwork(context)).bridge, true);
  sh("iptables -D FORWARD -o br-fc -m comment --comment banger -j ACCEPT");
  assert.equal((await lookAtNetwork(context)).bridge, false);
  await ensureBridge({}, context);
  assert.equal((await lookAtNetwork(context)).bridge, true);
  await ensureNoBridge({}, context);
  assert.equal(snapshot(), before);
  sh("nft delete table ip filter");
});

test("the resolver is told of the bridge alone, and nothing is routed where there is none", async () => {
  await assert.rejects(ensureResolver({ port: 5353 }, context), { code: "bridge_missing" });
  await ensureBridge({}, context);
  assert.deepEqual(await ensureResolver({ port: 5353 }, contextOf({ without: ["resolvectl"] })), {
    routed: false,
  });
  const told: string[][] = [];
  const { run } = context;
  const resolved: typeof context = {
    ...context,
    run: async (tool, argv, options) => {
      if (tool !== "resolvectl") return run(tool, argv, options);
      told.push([...argv]);
      return { status: 0, stdout: "", stderr: "" };
    },
  };
  assert.deepEqual(await ensureResolver({ port: 5353 }, resolved), { routed: true });
  await ensureNoBridge({}, resolved);
  assert.deepEqual(told, [
    ["domain", "br-fc", "~vm"],
    ["default-route", "br-fc", "no"],
    ["dns", "br-fc", "127.0.0.1:5353"],
    ["revert", "br-fc"],
  ]);
});

test("without any firewall there is no bridge", async () => {
  const bare = contextOf({ without: ["nft", "iptables", "iptables-restore"] });
  await assert.rejects(ensureBridge({}, bare), { code: "no_firewall" });
  assert.match(JSON.stringify(await lookAtNetwork(bare)), /"nats":{"unknown"/);
});

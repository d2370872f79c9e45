/** The methods ensureTapPool, ensureTap and ensureNoTap on real links and rules. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { lookAtNetwork } from "../../helper/look-network.js";
import { ensureBridge } from "../../helper/methods/ensure-bridge.js";
import { ensureNat } from "../../helper/methods/ensure-nat.js";
import { ensureNoBridge } from "../../helper/methods/ensure-no-bridge.js";
import { ensureNoNat } from "../../helper/methods/ensure-no-nat.js";
import { ensureNoTap } from "../../helper/methods/ensure-no-tap.js";
import { ensureTap } from "../../helper/methods/ensure-tap.js";
import { ensureTapPool } from "../../helper/methods/ensure-tap-pool.js";
import { HostFailure } from "../../helper/refusal.js";
import { contextOf, metadata, owner, sh, snapshot } from "./host.js";

const context = contextOf();
const empty = snapshot();
const vm = { vmId: "1a2b3c4d", address: "172.16.0.2" };
const other = { vmId: "00c0ffee", address: "172.16.0.254" };
const tap = "tap-fc-1a2b3c4d";

beforeEach(() => ensureBridge({}, context));
afterEach(async () => {
  await ensureNoBridge({}, context);
  assert.equal(snapshot(), empty);
});

const linkOf = (name: string) => JSON.parse(sh(`ip -j -d link show dev ${name}`))[0];
const poolNames = (): string[] =>
  JSON.parse(sh("ip -j link"))
    .map(({ ifname }: { ifname: string }) => ifname)
    .filter((name: string) => name.startsWith("tap-pool-"))
    .sort();
/** The bridge as it was made, without the flags that its ports give it. */
const rules = () => sh("nft list ruleset");

test("a tap of the owner, on the bridge, up, that learns nothing", async () => {
  await ensureTap(vm, context);
  const { flags, master, linkinfo } = linkOf(tap);
  assert.ok(flags.includes("UP"));
  assert.equal(master, "br-fc");
  const { type, persist, multi_queue, user, group } = linkinfo.info_data;
  assert.deepEqual([type, persist, multi_queue], ["tap", true, false]);
  assert.deepEqual([`${user}`, `${group}`], [`${owner.uid}`, `${owner.gid}`]);
  assert.equal(linkinfo.info_slave_data.learning, false);
  assert.equal(linkinfo.info_slave_data.flood, false);
  assert.match(sh("bridge fdb show br br-fc"), /06:fc:1a:2b:3c:4d dev tap-fc-1a2b3c4d master br-fc static/);
  assert.match(rules(), /"tap-fc-1a2b3c4d" . 06:fc:1a:2b:3c:4d . 172.16.0.2/);
  assert.deepEqual((await lookAtNetwork(context)).taps, { ids: [vm.vmId] });
});

test("a second time changes nothing, neither there nor gone", async () => {
  const before = rules();
  await ensureTap(vm, context);
  const made = snapshot();
  await ensureTap(vm, context);
  assert.equal(snapshot(), made);
  await ensureNat(vm, context);
  const out = snapshot();
  await ensureNat(vm, context);
  assert.equal(snapshot(), out);
  assert.deepEqual((await lookAtNetwork(context)).nats, { ids: [vm.vmId] });
  for (let time = 0; time < 2; time++) {
    await ensureNoNat({ vmId: vm.vmId }, context);
    assert.deepEqual((await lookAtNetwork(context)).nats, { ids: [] });
  }
  for (let time = 0; time < 2; time++) await ensureNoTap({ vmId: vm.vmId }, context);
  assert.equal(rules(), before);
});

test("NAT is only for the address that the VM's tap speaks as, and goes with the tap", async () => {
  await ensureTap(vm, context);
  await ensureTap(other, context);
  const missing = { code: "tap_missing" };
  await assert.rejects(ensureNat({ vmId: vm.vmId, address: other.address }, context), missing);
  await assert.rejects(ensureNat({ vmId: "0badf00d", address: vm.address }, context), missing);
  await ensureNat(vm, context);
  await ensureNoTap({ vmId: vm.vmId }, context);
  assert.deepEqual((await lookAtNetwork(context)).nats, { ids: [] });
  await ensureTap({ vmId: other.vmId, address: vm.address }, context);
  assert.deepEqual((await lookAtNetwork(context)).nats, { ids: [] });
});

test("no two taps speak as one address", async () => {
  await ensureTap(vm, context);
  const before = snapshot();
  await assert.rejects(ensureTap({ vmId: other.vmId, address: vm.address }, context), {
    rule: "one-address",
  });
  assert.equal(snapshot(), before);
  // A rule that outlived its tap holds no address.
  sh(`ip link delete ${tap}`);
  assert.deepEqual((await lookAtNetwork(context)).strayTaps, { ids: [vm.vmId] });
  await ensureTap({ vmId: other.vmId, address: vm.address }, context);
  assert.deepEqual((await lookAtNetwork(context)).strayTaps, { ids: [] });
});

test("a VM that gets another address speaks as that one alone", async () => {
  await ensureTap(vm, context);
  await ensureTap({ vmId: vm.vmId, address: "172.16.0.9" }, context);
  assert.doesNotMatch(rules(), /172\.16\.0\.2/);
  assert.deepEqual((await lookAtNetwork(context)).taps, { ids: [vm.vmId] });
});

const hostile = [
  ["172.16.0.0", "the network's own"],
  ["172.16.0.1", "the bridge's"],
  ["172.16.0.255", "the broadcast's"],
  ["172.16.1.2", "just outside"],
  ["172.15.255.255", "just below"],
  ["127.0.0.1", "loopback"],
  ["0.0.0.0", "none"],
  ["255.255.255.255", "everybody's"],
  ["224.0.0.1", "multicast"],
  ["172.16.0.256", "too large an octet"],
  ["172.016.0.2", "octal to some"],
  ["0172.16.0.2", "octal to some"],
  ["172.16.2", "short"],
  ["172.16.0.2.3", "long"],
  ["172.16.0.2/8", "a network"],
  ["172.16.0.2 }", "rules"],
  ["172.16.0.2\n", "a line"],
  ["0xac.16.0.2", "hexadecimal"],
  ["", "nothing"],
] as const;

test("no address but a guest's is taken, neither for a tap nor for NAT", async () => {
  await ensureTap(vm, context);
  const before = snapshot();
  for (const [address, what] of hostile) {
    const refused = { rule: "guest-address" };
    await assert.rejects(ensureTap({ vmId: "0badf00d", address }, context), refused, what);
    await assert.rejects(ensureTap({ vmId: vm.vmId, address }, context), refused, what);
    await assert.rejects(ensureNat({ vmId: vm.vmId, address }, context), refused, what);
  }
  assert.equal(snapshot(), before);
});

test("metadata that describe no network for guests do nothing", async () => {
  const before = snapshot();
  for (const network of [
    { bridge: "eth0", address: "172.16.0.1", prefixLength: 24 },
    { bridge: "br-fcx", address: "172.16.0.1", prefixLength: 24 },
    { bridge: "br-fc", address: "172.16.0.0", prefixLength: 24 },
    { bridge: "br-fc", address: "172.16.0.1", prefixLength: 31 },
    { bridge: "br-fc", address: "172.16.0.1", prefixLength: 7 },
  ]) {
    const wrong = contextOf({ metadata: { ...metadata, network } });
    await assert.rejects(ensureBridge({}, wrong), { name: "Error", rule: /^(bridge-name|network)$/ });
    await assert.rejects(ensureNoBridge({}, wrong), { name: "Error", rule: /^(bridge-name|network)$/ });
  }
  assert.equal(snapshot(), before);
});

const owned = `user ${owner.uid} group ${owner.gid}`;
for (const [stranger, end] of [
  [`ip tuntap add dev ${tap} mode tap user 4999 group ${owner.gid}`, ""],
  [`ip tuntap add dev ${tap} mode tap user ${owner.uid}`, ""],
  [`ip tuntap add dev ${tap} mode tap`, ""],
  [`ip tuntap add dev ${tap} mode tap multi_queue ${owned}`, ""],
  [`ip tuntap add dev ${tap} mode tun ${owned}`, ""],
  [`ip link add ${tap} type veth peer name other`, ""],
  [`ip link add ${tap} type bridge`, ""],
  [
    `ip link add br-other type bridge; ip tuntap add dev ${tap} mode tap ${owned}; ip link set ${tap} master br-other`,
    "ip link delete br-other",
  ],
] as const) {
  test(`another's interface is refused: ${stranger}`, async () => {
    sh(stranger);
    const before = snapshot();
    await assert.rejects(ensureTap(vm, context), { rule: "own-tap" });
    await assert.rejects(ensureNoTap({ vmId: vm.vmId }, context), { rule: "own-tap" });
    await assert.rejects(ensureNat(vm, context), { rule: "own-tap" });
    const { taps, strayTaps } = await lookAtNetwork(context);
    assert.deepEqual([taps, strayTaps], [{ ids: [] }, { ids: [] }]);
    assert.equal(snapshot(), before);
    await ensureNoBridge({}, context);
    sh(`ip link show ${tap}; ip link delete ${tap}; ${end}`);
  });
}

test("so many taps lie ready as are asked for, down and on the bridge", async () => {
  for (const size of [3, 3, 1, 0, 2]) {
    await ensureTapPool({ size }, context);
    assert.equal(poolNames().length, size);
    for (const name of poolNames()) {
      const { flags, master } = linkOf(name);
      assert.ok(!flags.includes("UP"));
      assert.equal(master, "br-fc");
    }
  }
  assert.deepEqual((await lookAtNetwork(context)).strayTaps, { ids: [] });
});

test("a VM takes a tap of the pool, and the pool is filled again", async () => {
  await ensureTapPool({ size: 2 }, context);
  await ensureTap(vm, context);
  assert.equal(poolNames().length, 1);
  assert.deepEqual((await lookAtNetwork(context)).taps, { ids: [vm.vmId] });
  await ensureTapPool({ size: 2 }, context);
  assert.equal(poolNames().length, 2);
  await ensureNoTap({ vmId: vm.vmId }, context);
  assert.equal(poolNames().length, 2);
});

test("the pool passes over a name that another has, and never takes or deletes it", async () => {
  sh("ip tuntap add dev tap-pool-0 mode tap user 4999");
  const before = sh("ip -j -d link show tap-pool-0");
  await ensureTapPool({ size: 1 }, context);
  assert.deepEqual(poolNames(), ["tap-pool-0", "tap-pool-1"]);
  await ensureTap(vm, context);
  await ensureTapPool({ size: 0 }, context);
  await ensureNoBridge({}, context);
  assert.equal(sh("ip -j -d link show tap-pool-0"), before);
  sh("ip link delete tap-pool-0");
});

test("without a bridge there is no tap, no pool and no NAT", async () => {
  await ensureNoBridge({}, context);
  const missing = { code: "bridge_missing" };
  await assert.rejects(ensureTap(vm, context), missing);
  await assert.rejects(ensureTapPool({ size: 1 }, context), missing);
  await assert.rejects(ensureNat(vm, context), missing);
  await ensureNoTap({ vmId: vm.vmId }, context);
  await ensureNoNat({ vmId: vm.vmId }, context);
});

test("a tap that lost its bridge, or was taken down, is a stray until it is mended", async () => {
  await ensureTap(vm, context);
  const whole = sh(`ip -j -d link show ${tap}`);
  for (const damage of ["nomaster", "down", "type bridge_slave learning on"]) {
    sh(`ip link set dev ${tap} ${damage}`);
    assert.deepEqual((await lookAtNetwork(context)).strayTaps, { ids: [vm.vmId] }, damage);
    await ensureTap(vm, context);
    assert.deepEqual((await lookAtNetwork(context)).strayTaps, { ids: [] }, damage);
  }
  assert.equal(sh(`ip -j -d link show ${tap}`).length, whole.length);
});

for (const size of [0, 1]) {
  test(`a failure at any step leaves no tap behind, with ${size} in the pool`, async () => {
    await ensureTap(other, context);
    await ensureTapPool({ size }, context);
    const steps = contextOf();
    await ensureTap(vm, steps);
    await ensureNoTap({ vmId: vm.vmId }, context);
    await ensureTapPool({ size }, context);
    const before = rules();
    for (let failing = 0; failing < steps.calls.length; failing++) {
      const failure = new HostFailure("tool_failed", "this step fails");
      let failed = false;
      const fail = (count: number) => {
        if (count < failing || failed) return;
        failed = true;
        throw failure;
      };
      await assert.rejects(ensureTap(vm, contextOf({ before: fail })), failure, steps.calls[failing]);
      assert.equal(rules(), before, steps.calls[failing]);
      const { taps, strayTaps } = await lookAtNetwork(context);
      assert.deepEqual([taps, strayTaps], [{ ids: [other.vmId] }, { ids: [] }], steps.calls[failing]);
      await ensureTapPool({ size }, context);
    }
  });
}

test("many calls at once end as if they had come one by one", async () => {
  const vms = Array.from({ length: 12 }, (_, index) => ({
    vmId: `0000000${index.toString(16)}`,
    address: `172.16.0.${index + 10}`,
  }));
  await Promise.all(vms.flatMap((each) => [ensureTap(each, context), ensureNat(each, context)]));
  const ids = vms.map(({ vmId }) => vmId);
  const seen = await lookAtNetwork(context);
  assert.deepEqual([seen.taps, seen.nats], [{ ids }, { ids }]);
  await Promise.all(vms.map(({ vmId }) => ensureNoTap({ vmId }, context)));
  assert.deepEqual((await lookAtNetwork(context)).taps, { ids: [] });
});

test("a call whose time has passed does nothing", async () => {
  const before = snapshot();
  const late = { ...context, signal: AbortSignal.abort(new Error("too late")) };
  await assert.rejects(ensureTap(vm, late), /too late/);
  await assert.rejects(lookAtNetwork(late), /too late/);
  assert.equal(snapshot(), before);
});

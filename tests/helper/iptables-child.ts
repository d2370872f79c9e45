/** What iptables guards on a host without nftables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lookAtNetwork } from "../../helper/look-network.js";
import { ensureBridge } from "../../helper/methods/ensure-bridge.js";
import { ensureNat } from "../../helper/methods/ensure-nat.js";
import { ensureNoBridge } from "../../helper/methods/ensure-no-bridge.js";
import { ensureNoNat } from "../../helper/methods/ensure-no-nat.js";
import { ensureNoTap } from "../../helper/methods/ensure-no-tap.js";
import { ensureTap } from "../../helper/methods/ensure-tap.js";
import { echo, echoMark, ipv4, types } from "./frames.js";
import { host, withGuests } from "./guests.js";
import { contextOf, sh, snapshot } from "./host.js";
import { natTests } from "./nat-tests.js";

const context = contextOf({ without: ["nft"] });
const vm = { vmId: "1a2b3c4d", address: "172.16.0.2" };

/** What iptables made is its own business, but there must be nothing of ours in it. */
const empty = snapshot({ emptyTables: false });

natTests(test, context);

test("the rules are made, seen, mended and taken away", async () => {
  await ensureBridge({}, context);
  const bridged = snapshot();
  await ensureBridge({}, context);
  assert.equal(snapshot(), bridged);
  await ensureTap(vm, context);
  await ensureNat(vm, context);
  const whole = snapshot();
  await ensureTap(vm, context);
  await ensureNat(vm, context);
  assert.equal(snapshot(), whole);
  const ids = { ids: [vm.vmId] };
  assert.deepEqual(await lookAtNetwork(context), {
    bridge: true,
    taps: ids,
    tapPool: { size: 0 },
    strayTaps: { ids: [] },
    nats: ids,
  });
  for (const damage of [
    "iptables -F BANGER-INPUT",
    "iptables -D BANGER-FORWARD 1",
    "iptables -D FORWARD 1",
    "iptables -t nat -F",
    "iptables -t raw -F PREROUTING",
  ]) {
    sh(damage);
    assert.equal((await lookAtNetwork(context)).bridge, false, damage);
    await ensureBridge({}, context);
    assert.equal((await lookAtNetwork(context)).bridge, true, damage);
  }
  await ensureNoNat({ vmId: vm.vmId }, context);
  assert.deepEqual((await lookAtNetwork(context)).nats, { ids: [] });
  await ensureNoTap({ vmId: vm.vmId }, context);
  assert.deepEqual((await lookAtNetwork(context)).taps, { ids: [] });
  await ensureNoBridge({}, context);
  await ensureNoBridge({}, context);
  assert.equal(snapshot({ emptyTables: false }), empty);
});

test("other rules of the host stay as they are", async () => {
  sh("iptables -A INPUT -p tcp --dport 25 -j DROP; iptables -N MINE; iptables -A FORWARD -j MINE");
  const before = snapshot({ emptyTables: false });
  await ensureBridge({}, context);
  await ensureTap(vm, context);
  await ensureNoBridge({}, context);
  assert.equal(snapshot({ emptyTables: false }), before);
  sh("iptables -F; iptables -X");
});

test("nothing of iptables is left where nft was installed meanwhile", async () => {
  await ensureBridge({}, context);
  const later = contextOf();
  assert.equal((await lookAtNetwork(later)).bridge, false);
  await ensureBridge({}, later);
  assert.equal((await lookAtNetwork(later)).bridge, true);
  await ensureNoBridge({}, later);
  assert.equal(snapshot({ emptyTables: false }), empty);
});

test("a guest speaks to the host as itself alone", async () => {
  await withGuests(context, async ({ one, two }) => {
    const answered = (mark: number) => (frame: Parameters<typeof echoMark>[0]) =>
      echoMark(frame, "reply") === mark;
    const ping = (from: string, mark: number) => ipv4(from, host.address, 1, echo("request", mark));
    one.sends(types.ip, ping(two.address, 601));
    one.sends(types.ip, ping("172.16.0.77", 602));
    one.sends(types.ip, ping(one.address, 603), host.mac, "06:fc:00:00:00:77");
    await one.reachesHost();
    await two.reachesHost();
    for (const mark of [601, 602, 603]) {
      assert.ok(!one.wire.has(answered(mark)) && !two.wire.has(answered(mark)), `${mark}`);
    }
  });
});

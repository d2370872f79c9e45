/** Two guests on taps that the helper made, played by the test, and an outside behind a tap that is no guest's. */

import { ensureBridge } from "../../helper/methods/ensure-bridge.js";
import { ensureNoBridge } from "../../helper/methods/ensure-no-bridge.js";
import { ensureTap } from "../../helper/methods/ensure-tap.js";
import { vmHandles } from "../../src/home/handles.js";
import { arp, arpAnswer, echo, echoMark, ethernet, everybody, ipv4, type Station, types } from "./frames.js";
import { metadata, sh, type TestContext } from "./host.js";
import { Wire } from "./wire.js";

export const host: Station = { mac: "02:fc:ac:10:00:01", address: "172.16.0.1" };
/** The host's address towards the outside, and somebody out there. */
export const uplink: Station = { mac: "02:00:00:00:00:01", address: "192.0.2.1" };
export const stranger: Station = { mac: "02:00:00:00:00:02", address: "192.0.2.9" };

export class Guest implements Station {
  readonly mac: string;
  readonly tap: string;
  readonly wire: Wire;
  #marks = 0;

  constructor(
    readonly vmId: string,
    readonly address: string,
  ) {
    ({ mac: this.mac, tap: this.tap } = vmHandles(metadata.home, vmId));
    this.wire = new Wire(this.tap, (heard) => arpAnswer(this, heard));
  }

  sends(type: number, payload: Buffer, to: string = host.mac, from: string = this.mac): void {
    this.wire.send(ethernet(from, to, type, payload));
  }

  sendsIp(to: string, protocol: number, payload: Buffer, from: string = this.address): void {
    this.sends(types.ip, ipv4(from, to, protocol, payload));
  }

  /** A ping that the bridge answers, after which everything sent before has been dealt with. */
  async reachesHost(): Promise<void> {
    const mark = ++this.#marks;
    this.sendsIp(host.address, 1, echo("request", mark));
    await this.wire.hears("the bridge's answer", (frame) => echoMark(frame, "reply") === mark);
  }

  /** A ping that the other guest hears: what this one sent it before has arrived by now, or never will. */
  async reaches(other: Guest, mark: number): Promise<void> {
    this.sends(types.ip, ipv4(this.address, other.address, 1, echo("request", mark)), other.mac);
    await other.wire.hears("the other's ping", (frame) => echoMark(frame, "request") === mark);
  }

  /** Asks for the host until it answers: the kernel opens a port some time after the tap's program is there. */
  async arrives(): Promise<void> {
    const question = arp(1, this, { mac: "00:00:00:00:00:00", address: host.address });
    const again = setInterval(() => this.sends(types.arp, question, everybody), 20);
    try {
      await this.wire.hears("the host's address", ({ type, to }) => type === types.arp && to === this.mac);
    } finally {
      clearInterval(again);
    }
    await this.reachesHost();
  }
}

export interface Scene {
  one: Guest;
  two: Guest;
  outside: Wire;
  sends(payload: Buffer): void;
}

/** Guests, bridge and outside for as long as `body` takes; the host answers for its uplink without asking around. */
export async function withGuests(context: TestContext, body: (scene: Scene) => Promise<void>): Promise<void> {
  await ensureBridge({}, context);
  const vms = { one: ["00000001", "172.16.0.2"], two: ["00000002", "172.16.0.3"] } as const;
  for (const [vmId, address] of Object.values(vms)) await ensureTap({ vmId, address }, context);
  sh(`ip tuntap add dev uplink mode tap; ip link set uplink address ${uplink.mac} up
    ip addr add ${uplink.address}/24 dev uplink; ip route add default via ${stranger.address}
    ip neigh add ${stranger.address} lladdr ${stranger.mac} dev uplink`);
  const outside = new Wire("uplink");
  const one = new Guest(...vms.one);
  const two = new Guest(...vms.two);
  const sends = (payload: Buffer) => outside.send(ethernet(stranger.mac, uplink.mac, types.ip, payload));
  try {
    await one.arrives();
    await two.arrives();
    await body({ one, two, outside, sends });
  } finally {
    for (const wire of [outside, one.wire, two.wire]) wire.close();
    sh("ip link delete uplink");
    await ensureNoBridge({}, context);
  }
}

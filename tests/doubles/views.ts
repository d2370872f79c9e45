/** VMs and events as the API would show them, for tests of the client side. */
import type { VmView } from "../../src/contract/contract.js";
import type { EventView } from "../../src/contract/events.js";

export function vmView(changes: Partial<VmView> = {}): VmView {
  return {
    id: "0a1b2c3d",
    name: "box",
    phase: "running",
    step: null,
    image: "debian-slim",
    spec: { vcpu: 4, memoryMiB: 8192, diskMiB: 8192, net: { mode: "public", allow: [], deny: [] } },
    address: "127.7.0.1",
    labels: {},
    expiresAt: null,
    createdAt: "2026-01-01T00:00:00.000Z",
    changedAt: "2026-01-01T00:00:10.000Z",
    startedAt: "2026-01-01T00:00:01.000Z",
    now: null,
    afterRestart: [],
    readyAt: "2026-01-01T00:00:07.400Z",
    bootedAt: "2026-01-01T00:00:09.100Z",
    error: null,
    lastExit: null,
    paused: null,
    pid: 4242,
    accelerator: "kvm",
    forwards: [],
    diskSize: "fits",
    consoleLog: "/state/vms/0a1b2c3d/console.log",
    vmmLog: "/state/vms/0a1b2c3d/vmm.log",
    seq: 9,
    ...changes,
  };
}

/** One event a tenth of a second after the one of the seq before. */
export function eventView(seq: number, type: string, changes: Partial<EventView> = {}): EventView {
  return {
    seq,
    stream: "vm/0a1b2c3d",
    version: seq,
    type,
    at: new Date(Date.UTC(2026, 0, 1) + seq * 100).toISOString(),
    cause: "request:test",
    data: {},
    sentence: `${type} happened`,
    ...changes,
  };
}

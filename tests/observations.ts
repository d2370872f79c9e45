/** VMs anywhere in their machine, each with looks at the host around what fits it, for properties of what is decided. */
import fc from "fast-check";
import { absentVm } from "../src/model/absent.js";
import { openKey } from "../src/model/fits.js";
import type {
  Capabilities,
  ObservedVm,
  Part,
  PauseCause,
  Seen,
  SeenDisk,
  SeenPause,
  Vm,
} from "../src/model/model.js";
import { netKey, publicNet } from "../src/model/net-policy.js";
import {
  bridged,
  capabilities,
  identity,
  position,
  reachableVms,
  seenBridged,
  seenRunning,
  t0,
} from "./fixtures.js";

export const unknown = { is: "unknown", cause: "simulated" } as const;
export const absent = { is: "absent" } as const;
const present = { is: "present" } as const;

export interface Case {
  mode: Capabilities;
  vm: Vm;
  seen: ObservedVm;
  /** Before, at or after any deadline that the VM can have. */
  now: number;
}

/** By where they are, so that a place with few of them comes up as often as one with hundreds. */
const byPosition = new Map<string, Vm[]>();
for (const { vm } of reachableVms().values()) {
  const place = `${position(vm)} ${vm.disksHoldData}`;
  byPosition.set(place, [...(byPosition.get(place) ?? []), vm]);
}

/** There is most to decide while a guest boots or runs. */
const guests = [...byPosition].filter(([place]) => /agent|running/.test(place)).map(([, group]) => group);

/** What no event at `t0` alone can bring about. */
const variation = fc.record({
  mode: fc.constantFrom("public" as const, "none" as const, "allow" as const),
  rootMiB: fc.constantFrom(undefined, 2048),
  pause: fc.constantFrom("stopped", "host_disk_full"),
  expires: fc.constantFrom(...Array(8).fill(null), t0, t0 + 60_000) as fc.Arbitrary<number | null>,
});
const anyVm: fc.Arbitrary<Vm> = fc
  .constantFrom(...byPosition.values(), ...guests, ...guests)
  .chain((group) => fc.tuple(fc.constantFrom(...group), variation))
  .map(([vm, { mode, rootMiB, pause, expires }]) => ({
    ...vm,
    spec: { ...vm.spec, net: { ...vm.spec.net, mode }, ...(rootMiB !== undefined && { rootMiB }) },
    ...(vm.paused !== null && { paused: { ...vm.paused, cause: pause } }),
    expiresAt: expires,
  }));

/** There as generated, or absent, or unknown. */
export const seenAs = <T extends object>(there: fc.Arbitrary<T>): fc.Arbitrary<Seen<T>> =>
  fc.oneof(
    there.map((value) => ({ ...present, ...value }) as Seen<T>),
    fc.constant(absent),
    fc.constant(unknown),
  );
const port = fc.constantFrom(22, 80, 3000);
const listener = fc.record({
  proto: fc.constantFrom("tcp", "udp"),
  address: fc.constantFrom("0.0.0.0", "::", "127.0.0.1"),
  port,
  pid: fc.constant(1),
  process: fc.constant("server"),
  command: fc.constant("server"),
});
const bare = seenAs(fc.constant({}));
const part = seenAs(fc.record({ whole: fc.boolean() }));
const disk = seenAs(
  fc.record({ miB: fc.constantFrom(512, 1024, 2048), growing: fc.constantFrom("no", "begun", "at_start") }),
);
const pause = fc.constantFrom(
  "unasked",
  { cause: "stopped" },
  ...[0, 1000].map((freeMiB) => ({ cause: "host_disk_full", freeMiB })),
);
const vmm = fc
  .tuple(fc.constantFrom({}, {}, { idle: true }), fc.option(pause, { nil: undefined }))
  .map(([idle, still]) => ({ ...identity, ...idle, ...(still !== undefined && { pause: still }) }));

/** Each handle as anything, whatever the others are. */
const anySeen = fc.record({
  directory: bare,
  rootDisk: disk,
  workDisk: disk,
  seed: bare,
  rootDevice: part,
  bridge: bare,
  network: part,
  policy: seenAs(
    fc.record({ key: fc.constantFrom(netKey(publicNet), openKey, "other"), fresh: fc.boolean() }),
  ),
  runtime: part,
  process: seenAs(vmm),
  agent: seenAs(
    fc.record({
      ...{ answering: fc.boolean(), version: fc.constant("1.0") },
      ...{ init: fc.constantFrom("starting", "up", "unsaid"), behindMs: fc.constantFrom(0, 0, 30_000) },
    }),
  ),
  forwards: seenAs(
    fc.uniqueArray(port).map((ports) => ({
      list: ports.map((guestPort) => ({ guestPort, hostPort: guestPort })),
    })),
  ),
  listeners: seenAs(fc.record({ list: fc.array(listener, { maxLength: 4 }) })),
}) as fc.Arbitrary<ObservedVm>;

type Handle = Exclude<keyof ObservedVm, "exit">;
const handles = Object.keys(absentVm) as Handle[];

const pauseFor = (cause: PauseCause): SeenPause =>
  cause === "host_disk_full" ? { cause, freeMiB: 1000 } : { cause };

/** What a look shows when everything is as the VM wants it: before its VMM runs, while it does, and afterwards. */
function fitting({ spec, paused, networkLostAt }: Vm, mode: Capabilities) {
  const base = mode === bridged ? seenBridged : seenRunning;
  const key = mode === bridged ? openKey : netKey(spec.net);
  const served: ObservedVm = {
    ...base,
    rootDisk: { ...present, miB: spec.rootMiB ?? 1024, growing: "no" },
    workDisk: { ...present, miB: spec.diskMiB, growing: "no" },
    ...(networkLostAt !== null && { network: absent }),
    policy: spec.net.mode === "none" ? absent : { ...present, key, fresh: true },
    process: { ...present, ...identity, ...(paused !== null && { pause: pauseFor(paused.cause) }) },
  };
  const booting: ObservedVm = { ...served, agent: { ...present, answering: false, version: "" } };
  const turned: ObservedVm = {
    ...served,
    process: { ...present, ...identity, ...(paused === null && { pause: pauseFor("stopped") }) },
  };
  const late: ObservedVm = {
    ...served,
    agent: { ...present, answering: true, version: "1.0", init: "up", behindMs: 30_000 },
  };
  const mended: ObservedVm = { ...served, network: base.network };
  const small: ObservedVm = { ...served, workDisk: { ...present, miB: 512, growing: "no" } };
  const made: ObservedVm = { ...served, process: absent, agent: absent, forwards: absent, listeners: absent };
  const ended: ObservedVm = { ...made, rootDevice: absent, network: absent, policy: absent };
  const left: ObservedVm = { ...ended, runtime: absent };
  const list = [
    { proto: "tcp", address: "0.0.0.0", port: 80, pid: 1, process: "server", command: "server" },
  ] as const;
  const forwards = [22, 3000].map((guestPort) => ({ guestPort, hostPort: guestPort }));
  const listening: ObservedVm = {
    ...served,
    listeners: { ...present, list: [...list] },
    ...(mode.portForwarding && { forwards: { ...present, list: forwards } }),
  };
  return { served, booting, turned, late, mended, small, listening, made, ended, left, gone: absentVm };
}

const own = ({ phase, step }: Vm): (keyof ReturnType<typeof fitting>)[] => {
  if (phase === "starting" && step !== "agent") return ["made"];
  if (phase === "starting") return ["booting", "booting", "served", "turned"];
  if (phase === "running") return ["served", "turned", "late", "mended", "small", "listening"];
  if (phase === "stopping") return ["served", "made"];
  return ["made", "ended", "left", "gone"];
};

const handle = fc.constantFrom(...handles);
const few = fc.oneof(fc.constant([]), fc.tuple(handle), fc.tuple(handle), fc.tuple(handle, handle));

/** Mostly what fits the VM, with no more than two handles altered; else what fits another one, or just anything. */
function around(vm: Vm, mode: Capabilities): fc.Arbitrary<ObservedVm> {
  const fits = fitting(vm, mode);
  const base = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...own(vm)) },
    { weight: 1, arbitrary: fc.constantFrom(...(Object.keys(fits) as (keyof typeof fits)[])) },
  );
  const altered = fc.tuple(base, anySeen, few).map(([name, other, those]) => ({
    ...fits[name],
    ...Object.fromEntries(those.map((handle) => [handle, other[handle]])),
  }));
  return fc.oneof({ weight: 9, arbitrary: altered }, { weight: 1, arbitrary: anySeen });
}

const anyTime = fc.constantFrom(t0, t0 + 19_999, t0 + 20_000, t0 + 59_999, t0 + 60_000, t0 + 90_000);

/** A VM of either mode, or of those given, and what was seen of it at a time. */
export const caseOf = (...modes: readonly Capabilities[]): fc.Arbitrary<Case> =>
  fc
    .tuple(fc.constantFrom(...(modes.length > 0 ? modes : [capabilities, bridged])), anyVm, anyTime)
    .chain(([mode, vm, now]) => around(vm, mode).map((seen) => ({ mode, vm, seen, now })));

/** The handles that do not let a VMM run: written anew, for it is what `canRun` and `notice` are held to. */
export function lackingToRun(vm: Vm, seen: ObservedVm, mode: Capabilities): string[] {
  const { rootDisk, workDisk } = seen;
  const fits = (each: SeenDisk, miB: number): boolean =>
    each.is === "present" && each.miB >= miB && each.growing === "no";
  const whole = (each: Part): boolean => each.is === "present" && each.whole;
  const needs = {
    process: seen.process.is === "absent",
    rootDisk: fits(rootDisk, vm.spec.rootMiB ?? 0),
    workDisk: fits(workDisk, vm.spec.diskMiB),
    seed: seen.seed.is === "present",
    runtime: whole(seen.runtime),
    network: whole(seen.network),
    policy:
      vm.spec.net.mode === "none"
        ? seen.policy.is === "absent"
        : seen.policy.is === "present" &&
          seen.policy.fresh &&
          seen.policy.key === (mode === bridged ? openKey : netKey(vm.spec.net)),
    ...(mode === bridged && {
      rootDevice: whole(seen.rootDevice),
      bridge: seen.bridge.is === "present",
    }),
  };
  return Object.entries(needs).flatMap(([name, met]) => (met ? [] : [name]));
}

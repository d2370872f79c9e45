/** What must hold: at every moment, and when everything has settled. */

import { differences } from "../../src/api/views.js";
import { planFor } from "../../src/core/plan.js";
import { fold, initialState } from "../../src/core/projection.js";
import type { Ledger } from "../../src/log/ledger.js";
import { type EventType, hostStream, type StoredEvent } from "../../src/model/events.js";
import { type Capabilities, type Observed, type State, startFields, type Vm } from "../../src/model/model.js";
import { netKey, publicNet } from "../../src/model/net-policy.js";
import { imageRootMiB } from "./disks.js";
import { forwardsOf } from "./forwards.js";
import { noVm, type SimHost, type SimVm } from "./host.js";
import { noImage } from "./images.js";
import { bridgeIsWhole } from "./network.js";

/** What clients were told is done. */
export interface Acknowledged {
  /** Name → id of the VM created last under it. */
  created: Map<string, string>;
  /** Id → last command that was answered, or "unanswered". */
  verbs: Map<string, string>;
}

const wantsDeletion = (vm: Vm | undefined): boolean => vm?.phase === "deleting" || vm?.phase === "deleted";

const deviceIsWhole = ({ device, loops }: SimVm): boolean => device && loops === 2;
/** The host's side of the guest's network is there, with the policy that is wanted. */
function networkFits(vm: SimVm, wanted: Vm | undefined, host: SimHost): boolean {
  const net = wanted?.spec.net ?? publicNet;
  if (host.mode === "system")
    return bridgeIsWhole(host) && vm.tap && vm.guard && vm.nat === (net.mode !== "none");
  const policy = net.mode === "none" ? null : netKey(net);
  return vm.network !== null && !vm.network.hung && vm.network.policy === policy;
}

/** What all VMs share is as the daemon wants it. */
function networkIsWhole({ host: { wanted } }: State, host: SimHost): boolean {
  const { pool, namesPort } = host.network;
  return bridgeIsWhole(host) && pool === wanted?.tapPoolSize && namesPort === wanted.namesPort;
}

/** What stands beside the VMM and does not end with it, by name. */
const held = (vm: SimVm): string[] =>
  (["loops", "device", "tap", "guard", "nat", "jail", "network"] as const).filter((name) => vm[name]);

/** What the log is told of the host is so at that moment; `undefined` when it is, or when the event tells nothing of it. */
export function checkFact(
  { stream, type, data }: StoredEvent,
  state: State,
  host: SimHost,
): string | undefined {
  const id = stream.slice(stream.indexOf("/") + 1);
  const image = host.images.get(id) ?? noImage();
  const vm = host.vms.get(id) ?? noVm();
  const { process, directory, rootDisk, workDisk, seed, runtime } = vm;
  const bridged = host.mode === "system";
  const truth: Partial<Record<EventType, boolean>> = {
    "vm.disk_attached":
      rootDisk && workDisk && seed && runtime && process === null && (!bridged || deviceIsWhole(vm)),
    "host.network_ready": networkIsWhole(state, host),
    "host.network_lost": !bridgeIsWhole(host),
    "vm.network_attached": networkFits(vm, state.vms[id], host),
    "vm.network_lost": bridged ? !vm.tap : vm.network === null,
    "vm.network_restored": networkFits(vm, state.vms[id], host),
    "vm.process_started": process !== null && process.guest !== "idle",
    "vm.adopted": process !== null,
    "vm.ready": process?.guest === "up",
    "vm.booted": process?.init === (type === "vm.booted" ? data.init : null),
    "vm.clock_set": process?.guest === "up" && process.behindMs === 0,
    "vm.paused": process?.pause === (type === "vm.paused" ? data.cause : null),
    "vm.resumed": process?.pause === null,
    "vm.process_exited": process === null,
    "vm.deleted": process === null && !runtime && !directory && held(vm).length === 0,
    "image.ready": image.ready && !image.damaged,
    "image.damaged": !image.ready || image.damaged,
    "image.found": image.ready && !image.damaged,
    "image.deleted": !image.ready && !image.partial,
  };
  return truth[type] === false ? `${stream}: ${type} is told, and is not so` : undefined;
}

/** Holds after every step of a run. */
export function checkAlways(state: State, host: SimHost): string[] {
  const problems: string[] = [];
  const live = Object.values(state.vms).filter((vm) => vm.phase !== "deleted");
  for (const key of ["name", "address", "addressIndex"] as const) {
    const values = live.map((vm) => vm[key]);
    if (new Set(values).size !== values.length) problems.push(`two VMs share their ${key}`);
  }
  for (const id of host.lost) {
    if (!wantsDeletion(state.vms[id]))
      problems.push(`the disks of ${id} are gone, and nobody asked for that`);
  }
  for (const vm of live) problems.push(...checkGiven(vm, host));
  problems.push(...host.groundless);
  for (const what of host.torn) problems.push(`${what} was to go while it was in use`);
  if (host.mode === "system") {
    for (const [id, vm] of host.vms) {
      if (vm.process !== null && !(deviceIsWhole(vm) && vm.tap && vm.jail))
        problems.push(`the VMM of ${id} has lost what it runs on: only ${held(vm)} is there`);
    }
  }
  return problems;
}

/** What a running VM is shown with is what its VMM was given. */
function checkGiven({ id, phase, startedWith }: Vm, host: SimHost): string[] {
  const { process } = host.vm(id);
  if (phase !== "running" || process === null) return [];
  const wrong = startFields.filter(
    (field) => process.given[field] !== undefined && process.given[field] !== startedWith?.[field],
  );
  return wrong.map((field) => `${id} is told to run with ${field} ${startedWith?.[field]}, and does not`);
}

const clockOffMs = 1_000;
const settledPhases = new Set(["stopped", "running", "error", "deleted"]);

/** Holds when faults have ended and time has gone by. */
export function checkSettled(
  ledger: Ledger,
  observed: Observed,
  capabilities: Capabilities,
  host: SimHost,
  acknowledged: Acknowledged,
  now: number,
): string[] {
  const { state } = ledger;
  const problems = checkAlways(state, host);
  if (host.mode === "system" && !(networkIsWhole(state, host) && state.host.phase === "ready"))
    problems.push(`the host's network is not as it is wanted: ${JSON.stringify([host.network, state.host])}`);
  for (const stream of [
    hostStream,
    ...Object.keys(state.vms).map((id) => `vm/${id}`),
    ...Object.keys(state.images).map((id) => `image/${id}`),
  ]) {
    const plan = planFor(state, stream, observed, capabilities, now, true);
    if (plan === undefined || plan.facts.length + plan.effects.length === 0) continue;
    problems.push(`${stream} is not settled: ${JSON.stringify(plan)}`);
  }
  for (const vm of Object.values(state.vms))
    problems.push(
      ...(host.mode === "user" ? checkForwards(vm, host) : []),
      ...checkHeld(vm, host),
      ...checkVm(vm, host),
    );
  for (const [id, seen] of host.vms) {
    if (state.vms[id] !== undefined) continue;
    if (seen.directory || seen.runtime || seen.process || held(seen).length > 0)
      problems.push(`${id} is on the host, but nobody knows it`);
  }
  for (const [id, image] of host.images) {
    const { phase = "unknown" } = state.images[id] ?? {};
    const there = image.ready && !(image.elsewhere && image.damaged);
    if (there && (phase === "deleted" || phase === "unknown"))
      problems.push(`${id} is ${phase}, but its files are there`);
    if (image.partial) problems.push(`a half-built ${id} is left`);
    if (state.images[id]?.phase === "building") problems.push(`${id} is still building`);
  }
  for (const [id, verb] of acknowledged.verbs) problems.push(...checkPromise(state.vms[id], id, verb));
  const folded = fold(initialState, ledger.log.read());
  problems.push(...ledger.log.checkIntegrity());
  problems.push(...differences(folded, state).map((path) => `fold and live state differ at ${path}`));
  return problems;
}

function checkForwards({ id, name, phase }: Vm, host: SimHost): string[] {
  const { process } = host.vm(id);
  if (phase !== "running") return [];
  const told = (port: number, loopback: boolean) => `${port}${loopback ? " through the agent" : ""}`;
  const wanted = process?.listeners.map(({ port, address }) => told(port, address !== "0.0.0.0"));
  const listeners = [...new Set(wanted)].sort();
  const there = forwardsOf(host, id);
  const forwards = there.map(({ guestPort, loopback }) => told(guestPort, loopback !== undefined)).sort();
  if (String(listeners) === String(forwards)) return [];
  return [`${id} (${name}): forwards [${forwards}] stand for [${listeners}]`];
}

/** Nothing leaks, and a guest that runs has its network and the policy that its spec says. */
function checkHeld(vm: Vm, host: SimHost): string[] {
  const { id, name, phase, spec } = vm;
  const on = host.vm(id);
  if (phase === "running" && !networkFits(on, vm, host))
    return [`${id} (${name}) has not the network that is wanted: ${JSON.stringify(on.network)}`];
  if (phase === "running" && vm.networkLostAt !== null) return [`${id} (${name}) is told to have no network`];
  const opened = spec.net.mode === "none" ? [] : ["nat"];
  const system = ["loops", "device", "tap", "guard", ...opened, "jail"];
  const wanted = host.mode === "system" ? system : ["network"];
  const right = phase === "running" ? wanted : [];
  const there = held(on);
  return String(there) === String(right)
    ? []
    : [`${id} (${name}) is ${phase} and holds [${there}], not [${right}]`];
}

function checkDisk(on: SimVm, disk: "work" | "root", wantedMiB: number, wrong: (what: string) => void): void {
  const [miB, fileSystemMiB, growing] =
    disk === "work"
      ? [on.workMiB, on.fileSystemMiB, on.growing]
      : [on.rootMiB, on.rootFileSystemMiB, on.rootGrowing];
  if (miB < wantedMiB) wrong(`its ${disk} disk is smaller than was asked for`);
  const waits = growing === "at_start" && on.process?.growsFileSystem === false;
  if (growing !== "no" && !waits) wrong(`its ${disk} disk is half grown`);
  if (growing === "no" && fileSystemMiB < miB) wrong(`its ${disk} disk is larger than its file system`);
}

function checkVm(vm: Vm, host: SimHost): string[] {
  const on = host.vm(vm.id);
  const problems: string[] = [];
  const wrong = (what: string) => problems.push(`${vm.id} (${vm.name}) is ${vm.phase}, but ${what}`);
  if (!settledPhases.has(vm.phase)) wrong("that is no end");
  if (vm.phase === "running") {
    if (on.process?.guest !== "up") wrong("no guest is up");
    if (on.process?.pause !== null) wrong("its guest stands still, and there is room");
    if ((on.process?.behindMs ?? 0) >= clockOffMs) wrong("its guest's clock is behind");
    if (on.process?.pause !== (vm.paused?.cause ?? null))
      wrong("whether its guest stands still is told wrongly");
  } else {
    if (on.process !== null) wrong("a VMM runs");
    if (on.runtime) wrong("its sockets are left");
  }
  if (vm.phase === "running") {
    checkDisk(on, "work", vm.spec.diskMiB, wrong);
    checkDisk(on, "root", vm.spec.rootMiB ?? 0, wrong);
  }
  if (on.workDisk && on.workMiB > vm.spec.diskMiB) wrong("its disk is larger than anybody asked for");
  if (on.rootDisk && on.rootMiB > Math.max(imageRootMiB, vm.spec.rootMiB ?? 0))
    wrong("its root disk is larger than anybody asked for");
  const disks = on.directory || on.rootDisk || on.workDisk || on.seed;
  const unused = (vm.phase === "stopped" || vm.phase === "error") && !vm.disksHoldData;
  if ((vm.phase === "deleted" || unused) && disks) wrong("its directory is left");
  if (vm.phase !== "deleted" && vm.disksHoldData && !(on.rootDisk && on.workDisk))
    wrong("its disks are gone");
  return problems;
}

/** An acknowledged command is never forgotten: the phase is one that it, and what befell the VM later, allow. */
function checkPromise(vm: Vm | undefined, id: string, verb: string): string[] {
  if (vm === undefined) return [`${id} was created, and is forgotten`];
  const allowed: Record<string, string[]> = {
    create: ["stopped"],
    start: ["running", "stopped", "error"],
    restart: ["running", "stopped", "error"],
    stop: ["stopped"],
    kill: ["stopped"],
    delete: ["deleted"],
    unanswered: [...settledPhases],
  };
  // Its time may be over: then it is gone, whatever was asked for.
  const phases = vm.expiresAt === null ? (allowed[verb] ?? []) : [...(allowed[verb] ?? []), "deleted"];
  if (!phases.includes(vm.phase)) return [`${id}: ${verb} was acknowledged, but it is ${vm.phase}`];
  const unexplained =
    (verb === "start" || verb === "restart") && vm.phase === "stopped" && vm.lastExit === null;
  return unexplained ? [`${id} was started and is stopped, and nothing says why`] : [];
}

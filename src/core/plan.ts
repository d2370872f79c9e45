/** Pure: one stream's plan: what an observation tells the log, and what is to be done on the host. */
import type { ErrorBody } from "../lib/errors.js";
import { event, hostStream, imageStream, type NewEvent, vmStream } from "../model/events.js";
import { needOf } from "../model/fits.js";
import type {
  Capabilities,
  Effect,
  EffectKind,
  Image,
  ImageId,
  Observed,
  State,
  Vm,
} from "../model/model.js";
import { nextDeadline, reconcileHost, reconcileImage, reconcileVm } from "../reconcilers/index.js";
import { noticeFound, noticeImage, noticeVm } from "./notice.js";
import { bridgeDeadline, noticeHost, noticeNoBridge } from "./notice-host.js";

export interface Plan {
  /** Goes into the log first; the effects are those of the state before it. */
  facts: NewEvent[];
  effects: Effect[];
  /** When passing time alone changes the plan, in ms since the epoch; never in the past. */
  deadlineAt: number | null;
  /** Phase and step: attempts are counted anew in each. */
  position: string;
}

const parse = (stream: string): [noun: string, id: string] => stream.split("/") as [string, string];

const vmOf = (state: State, stream: string): Vm | undefined => {
  const [noun, id] = parse(stream);
  return noun === "vm" ? state.vms[id] : undefined;
};

const imageOf = (state: State, stream: string): Image | undefined => {
  const [noun, id] = parse(stream);
  return noun === "image" ? state.images[id] : undefined;
};

/** What is wanted of the host's network, in the one mode that has such a thing. */
function planForHost({ host }: State, { network }: Observed, now: number): Plan {
  const facts = noticeHost(host, network, now);
  return { facts, effects: reconcileHost(host, network), deadlineAt: null, position: hostStream };
}

const soonest = (...times: (number | null)[]): number | null => {
  const set = times.filter((at) => at !== null);
  return set.length === 0 ? null : Math.min(...set);
};

/**
 * The plan of the host, a VM or an image, undefined for a stream that the state does not know, unless it is an image that
 * lies there.
 * `adopted` says that this daemon has put the VMM process into the log already, as started or adopted.
 */
export function planFor(
  state: State,
  stream: string,
  observed: Observed,
  capabilities: Capabilities,
  now: number,
  adopted: boolean,
): Plan | undefined {
  const { bridgeNetworking } = capabilities;
  if (stream === hostStream) return bridgeNetworking ? planForHost(state, observed, now) : undefined;
  const vm = vmOf(state, stream);
  if (vm !== undefined) {
    const seen = observed.vms.get(vm.id) ?? observed.unlistedVm;
    const guest = vm.phase === "running" || vm.step === "agent";
    // Nothing else is told in the same look: that this daemon has no link to the guest yet is not the guest's fault.
    const facts =
      !adopted && guest && seen.process.is === "present"
        ? [event(stream, "vm.adopted", { pid: seen.process.pid })]
        : noticeVm(vm, seen, capabilities, now);
    const waitsFor = bridgeNetworking ? bridgeDeadline(vm, seen, state.host) : null;
    return {
      facts: facts.length > 0 || waitsFor === null ? facts : noticeNoBridge(vm, waitsFor, state.host, now),
      effects: reconcileVm(vm, seen, capabilities, now),
      deadlineAt: soonest(nextDeadline(vm, now), waitsFor),
      position: positionOf(vm),
    };
  }
  const [noun, id] = parse(stream);
  return noun === "image" ? planForImage(state, id, observed) : undefined;
}

function planForImage(state: State, id: ImageId, observed: Observed): Plan | undefined {
  const image = state.images[id];
  const seen = observed.images.get(id) ?? observed.unlistedImage;
  if (image === undefined) {
    const facts = noticeFound(id, seen);
    return facts.length === 0 ? undefined : { facts, effects: [], deadlineAt: null, position: "unknown" };
  }
  const need = state.images[needOf(image.source) ?? ""];
  const used = Object.values(state.vms).some(({ imageId, phase }) => imageId === id && phase !== "deleted");
  return {
    facts: noticeImage(image, seen, { need, used }),
    effects: reconcileImage(image, seen, need),
    deadlineAt: null,
    position: positionOf(image),
  };
}

const positionOf = (it: Vm | Image): string => ("step" in it ? `${it.phase}.${it.step}` : it.phase);

/** Whether the stream is still where the plan was made for. */
export function holds({ position }: Plan, state: State, stream: string): boolean {
  if (stream === hostStream) return true;
  const it = vmOf(state, stream) ?? imageOf(state, stream);
  return it !== undefined && positionOf(it) === position;
}

/** The streams that wait for what this one becomes. */
export function waitingFor(state: State, stream: string): string[] {
  if (stream === hostStream)
    return Object.values(state.vms)
      .filter(({ step }) => step === "network" || step === "process")
      .map(({ id }) => vmStream(id));
  const image = imageOf(state, stream);
  if (image === undefined) return [];
  const waits = (each: Image) => each.phase === "building" && needOf(each.source) === image.id;
  return Object.values(state.images)
    .filter(waits)
    .map(({ id }) => imageStream(id));
}

/** The streams that may find something else once the effect is done. */
export function servedBy(state: State, { kind }: Effect): string[] {
  // It may have been one of those that lie ready.
  if (kind === "ensureNetwork") return state.host.wanted?.tapPoolSize ? [hostStream] : [];
  if (kind !== "ensureBridge") return [];
  const guests = Object.values(state.vms).filter(({ phase }) => phase === "starting" || phase === "running");
  return guests.map(({ id }) => vmStream(id));
}

/** Whether a long effect should continue. */
export function stillWanted(state: State, effect: Effect): boolean {
  if (effect.kind === "ensureImage") return state.images[effect.imageId]?.phase === "building";
  return effect.kind !== "ensureDiskSize" || state.vms[effect.vmId]?.phase === "running";
}

/** What a deed tells the log because no observation can find it again. */
export const deedFacts = (effect: Effect): NewEvent[] =>
  effect.kind === "ensureShutdownAsked" ? [event(vmStream(effect.vmId), "vm.shutdown_asked", {})] : [];

const ofStart = new Set<EffectKind>([
  ...([
    "ensureDisk",
    "ensureRootDevice",
    "ensureNetwork",
    "ensurePolicy",
    "ensureNoPolicy",
    "ensureProcess",
  ] as const),
]);

/** The longest message that the log takes over: part of it may be a guest's own words. */
const longestMessage = 1000;

/** What a failed effect tells the log. `final`: it is not tried again; `say`: it is news; `untold`: what was none. */
export function failureFacts(
  state: State,
  effect: Effect,
  failure: ErrorBody,
  { final, say, untold }: { final: boolean; say: boolean; untold: number },
): NewEvent[] {
  const told = { ...failure, message: failure.message.slice(0, longestMessage) };
  const tried = { ...told, effect: effect.kind, ...(untold > 0 && { untold }) };
  if ("vmId" in effect) {
    const stream = vmStream(effect.vmId);
    const vm = vmOf(state, stream);
    if (vm === undefined) return [];
    // A fix under a guest that boots or runs is not worth ending it.
    if (final && ofStart.has(effect.kind) && vm.step !== null && vm.step !== "agent") {
      return [event(stream, "vm.step_failed", { ...told, step: vm.step })];
    }
    return say ? [event(stream, "vm.effect_failed", tried)] : [];
  }
  if (!("imageId" in effect)) return say ? [event(hostStream, "host.effect_failed", tried)] : [];
  const stream = imageStream(effect.imageId);
  if (imageOf(state, stream)?.phase !== "building") return [];
  if (final) return [event(stream, "image.build_failed", told)];
  return say ? [event(stream, "image.effect_failed", tried)] : [];
}

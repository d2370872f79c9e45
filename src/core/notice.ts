/** Pure: what an observation tells that the log does not know yet, as events. Unknown handles tell nothing. */

import { isKernelId } from "../home/handles.js";
import type { ErrorBody } from "../lib/errors.js";
import { vmCan } from "../machines/vm.js";
import { event, imageStream, type NewEvent, vmStream } from "../model/events.js";
import { disksFit, needOf, networkFits, rootFits } from "../model/fits.js";
import type {
  Capabilities,
  Image,
  ImageId,
  ObservedImage,
  ObservedVm,
  Part,
  ProcessExit,
  Seen,
  Vm,
} from "../model/model.js";
import { recoverAt } from "../model/recovery.js";

/** The facts about one VM, one step of the machine at most; ask again after folding them. */
export function noticeVm(vm: Vm, seen: ObservedVm, capabilities: Capabilities, now: number): NewEvent[] {
  const stream = vmStream(vm.id);
  const expired = event(stream, "vm.expired", {});
  if (vm.expiresAt !== null && now >= vm.expiresAt && vmCan(vm, expired)) return [expired];
  switch (vm.phase) {
    case "starting":
      return noticeStart(vm, seen, capabilities, now);
    case "running":
      if (seen.process.is === "absent") return [event(stream, "vm.process_exited", unasked(seen))];
      return [...noticePause(vm, seen), ...noticeNetwork(vm, seen, capabilities), ...noticeBoot(vm, seen)];
    case "stopping":
      return seen.process.is === "absent"
        ? [event(stream, "vm.process_exited", { reason: "asked", detail: stopDetail(vm) })]
        : [];
    case "deleting":
      return nothingLeft(seen) ? [event(stream, "vm.deleted", {})] : [];
    default:
      return [];
  }
}

function noticeStart(vm: Vm, seen: ObservedVm, capabilities: Capabilities, now: number): NewEvent[] {
  const stream = vmStream(vm.id);
  switch (vm.step) {
    case "disk":
      // A guest that reboots on and on waits, and so does everything behind its first step.
      if (now < recoverAt(vm.recoveries)) return [];
      return disksFit(vm, seen) && rootFits(seen, capabilities) && seen.process.is === "absent"
        ? [event(stream, "vm.disk_attached", {})]
        : [];
    case "network":
      return networkFits(vm, seen, capabilities)
        ? [event(stream, "vm.network_attached", { address: vm.address })]
        : [];
    case "process":
      return seen.process.is === "present" && !seen.process.idle
        ? [event(stream, "vm.process_started", { pid: seen.process.pid })]
        : [];
    case "agent": {
      if (seen.process.is === "absent") return [event(stream, "vm.process_exited", unasked(seen))];
      const pause = noticePause(vm, seen);
      if (pause.length > 0) return pause;
      const network = noticeNetwork(vm, seen, capabilities);
      if (network.length > 0) return network;
      if (seen.agent.is === "present" && seen.agent.answering) {
        return [event(stream, "vm.ready", { agent: seen.agent.version })];
      }
      // A guest that is paused for lack of disk space is not late.
      if (vm.paused?.cause === "host_disk_full") return [];
      return vm.bootDeadlineAt !== null && now >= vm.bootDeadlineAt ? [bootTimedOut(vm)] : [];
    }
    default:
      return [];
  }
}

/** That the guest's init is up is reported once; where it does not say so, the agent's answer has to do. */
function noticeBoot(vm: Vm, { agent }: ObservedVm): NewEvent[] {
  if (vm.bootedAt !== null || agent.is !== "present" || !agent.answering) return [];
  const { init = "unsaid" } = agent;
  return init === "starting" ? [] : [event(vmStream(vm.id), "vm.booted", { init })];
}

/** Whether the guest is paused, and why, is reported when it changes. */
function noticePause(vm: Vm, { process }: ObservedVm): NewEvent[] {
  if (process.is !== "present" || process.pause === "unasked") return [];
  const { pause } = process;
  if (pause?.cause === vm.paused?.cause) return [];
  const stream = vmStream(vm.id);
  return [
    pause === undefined
      ? event(stream, "vm.resumed", {})
      : event(stream, "vm.paused", { cause: pause.cause }),
  ];
}

const isAbsent = ({ is }: Seen): boolean => is === "absent";

/** A network that goes under its guest is told, and that it is back as it is to be. */
function noticeNetwork(vm: Vm, seen: ObservedVm, capabilities: Capabilities): NewEvent[] {
  const stream = vmStream(vm.id);
  if (vm.networkLostAt === null && seen.network.is === "absent")
    return [event(stream, "vm.network_lost", {})];
  return vm.networkLostAt !== null && networkFits(vm, seen, capabilities)
    ? [event(stream, "vm.network_restored", {})]
    : [];
}

/** The VM is gone from the host, on the evidence of a look at each handle. */
export const nothingLeft = (seen: ObservedVm): boolean =>
  [seen.process, seen.network, seen.policy, seen.rootDevice, seen.runtime, seen.directory].every(isAbsent);

const bootTimedOut = (vm: Vm): NewEvent =>
  event(vmStream(vm.id), "vm.step_failed", {
    step: "agent",
    code: "boot_timeout",
    message: `the guest did not answer within ${Math.round(vm.bootTimeoutMs / 1000)} s`,
    hint: `banger vm logs ${vm.name}`,
    retry: "never",
  });

/** Nobody asked the VMM to end; the driver may have seen why it did. */
const unasked = (seen: ObservedVm): ProcessExit => seen.exit ?? { reason: "lost", detail: "cause unknown" };

function stopDetail(vm: Vm): string {
  if (vm.stop?.mode === "kill") return "killed as requested";
  return vm.stop?.asked ? "shut down as requested" : "stopped as requested";
}

/** What an image that lies there whole is made known by; nothing where it does not say what it was made from. */
export function noticeFound(imageId: ImageId, { image }: ObservedImage): NewEvent[] {
  if (image.is !== "present" || image.damage !== null || image.origin === undefined) return [];
  const { sizeBytes, origin } = image;
  return [event(imageStream(imageId), "image.found", { imageId, sizeBytes, ...origin })];
}

/** What concerns an image beside itself: the one that it is made with, where it needs one, and whether VMs need it. */
export interface ImageTies {
  need?: Image | undefined;
  used: boolean;
}

/** The facts about one image. */
export function noticeImage(
  image: Image,
  seen: ObservedImage,
  ties: ImageTies = { used: false },
): NewEvent[] {
  const { need, used } = ties;
  const stream = imageStream(image.id);
  const { phase } = image;
  if (phase === "deleted") return noticeFound(image.id, seen);
  if ((phase === "building" || phase === "failed") && isWholeImage(seen)) {
    return [event(stream, "image.ready", { sizeBytes: seen.image.sizeBytes })];
  }
  if (phase === "building") return noticeNeed(image, need);
  const gone = seen.image.is === "absent" && seen.partial.is === "absent";
  if (gone && (phase === "deleting" || (image.found && !used))) return [event(stream, "image.deleted", {})];
  if (phase === "ready") {
    const damage = seen.image.is === "present" ? seen.image.damage : whenAbsent(seen.image);
    if (damage !== null) return [event(stream, "image.damaged", damaged(image, damage))];
  }
  return [];
}

type WholeImage = ObservedImage & { image: { is: "present"; sizeBytes: number } };
const isWholeImage = (seen: ObservedImage): seen is WholeImage =>
  seen.image.is === "present" && seen.image.damage === null;

/** An image waits for what it is made with, but not for what will never be ready. */
function noticeNeed({ id, source }: Image, need: Image | undefined): NewEvent[] {
  if (needOf(source) === null || need?.phase === "ready" || need?.phase === "building") return [];
  return [event(imageStream(id), "image.build_failed", needFailed(needOf(source) as ImageId, need))];
}

const whenAbsent = (handle: { is: "absent" | "unknown" }): string | null =>
  handle.is === "absent" ? "its files are missing" : null;

const because = (error?: ErrorBody | null): string => (error ? `: ${error.message}` : "");

const needFailed = (id: ImageId, need: Image | undefined): ErrorBody => ({
  code: "need_missing",
  message: `${need?.name ?? id}, which it is made with, is ${need?.phase ?? "not here"}${because(need?.error)}`,
  ...(need?.error?.hint !== undefined && { hint: need.error.hint }),
  retry: "later",
});

const damageCode = "image_damaged";

const damaged = (image: Image, damage: string): ErrorBody => {
  const noun = isKernelId(image.id) ? "kernel" : "image";
  return {
    code: damageCode,
    message: `${noun} ${image.name} is damaged: ${damage}`,
    // What else it may be made from could be another thing by now; the id stands for the same as before.
    hint: `banger ${noun} pull ${image.source.kind === "catalog" ? image.name : image.id}`,
    retry: "never",
  };
};

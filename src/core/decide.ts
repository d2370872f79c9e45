/** Pure: what a command makes of the present state: new events, nothing when it is already so, or a rejection. */
import { type AddressRange, addressAt, addressCount } from "../home/addresses.js";
import { BangerError } from "../lib/errors.js";
import { imageCan } from "../machines/image.js";
import { vmCan } from "../machines/vm.js";
import { refuseShrinking } from "../model/disk-growth.js";
import { event, imageStream, type NewEvent, vmStream } from "../model/events.js";
import { needOf } from "../model/fits.js";
import { type LabelChanges, labelling } from "../model/labels.js";
import type { Image, ImageId, ImageSource, State, Vm, VmId, VmSpec } from "../model/model.js";
import type { NetPolicy } from "../model/net-policy.js";
import { createdBy, findImage, isLive } from "./refs.js";

export interface Timeouts {
  bootTimeoutMs: number;
  stopTimeoutMs: number;
}

export interface CreateCommand {
  kind: "create";
  /** Made by the client; a second create with the same id creates nothing. */
  commandId: string;
  vmId: VmId;
  /** The wanted name, or candidates of which the first free one is taken. */
  name: string | readonly string[];
  /** Image name or id. */
  image: string;
  spec: VmSpec;
  start: boolean;
  labels?: Vm["labels"] | undefined;
  ttlMs?: number | undefined;
  /** Where its address is from. */
  addresses: AddressRange;
}

/** An image or kernel to be made, and what it is to be made with. */
export interface PullCommand extends ImageRequest {
  kind: "pullImage";
  need?: ImageRequest;
}

interface ImageRequest {
  imageId: ImageId;
  name: string;
  source: ImageSource;
}

/** Of a policy, too, what is left out stays as it is. */
export type SpecChanges = Partial<Omit<VmSpec, "net">> & { net?: Partial<NetPolicy> };

export type VmVerb = "start" | "stop" | "restart" | "kill" | "delete";
export type Command =
  | CreateCommand
  | { kind: VmVerb; vmId: VmId }
  | { kind: "set"; vmId: VmId; changes: SpecChanges; labels?: LabelChanges | undefined }
  | PullCommand
  | { kind: "deleteImage"; imageId: ImageId };

/**
 * Decides a command. `[]` means that what is asked for is already so.
 * @throws BangerError when the command is not legal now.
 */
export function decide(state: State, command: Command, timeouts: Timeouts): NewEvent[] {
  switch (command.kind) {
    case "create":
      return decideCreate(state, command, timeouts);
    case "set":
      return decideSet(liveVm(state, command.vmId), command.changes, command.labels);
    case "pullImage":
      return [...(command.need ? decidePull(state, command.need) : []), ...decidePull(state, command)];
    case "deleteImage":
      return decideDeleteImage(state, command.imageId);
    default:
      return decideVerb(state, command.kind, command.vmId, timeouts);
  }
}

function decideCreate(state: State, command: CreateCommand, timeouts: Timeouts): NewEvent[] {
  if (createdBy(state, command.commandId) !== undefined) return [];
  if (state.vms[command.vmId] !== undefined || state.versions[vmStream(command.vmId)] !== undefined) {
    throw new BangerError("id_taken", `the id ${command.vmId} has already been used`, { retry: "later" });
  }
  const image = findImage(state, command.image);
  if (image?.phase !== "ready") {
    const message = image === undefined ? "is not present" : `is ${image.phase}`;
    throw new BangerError("image_missing", `image "${command.image}" ${message}`, {
      hint: `banger image pull ${command.image}`,
    });
  }
  const stream = vmStream(command.vmId);
  const addressIndex = freeAddressIndex(state, command.addresses);
  const created = event(stream, "vm.created", {
    vmId: command.vmId,
    name: freeName(state, command),
    imageId: image.id,
    spec: command.spec,
    address: addressAt(command.addresses, addressIndex),
    addressIndex,
    commandId: command.commandId,
    ...(command.labels && { labels: command.labels }),
    ...(command.ttlMs !== undefined && { ttlMs: command.ttlMs }),
  });
  if (!command.start) return [created];
  return [created, event(stream, "vm.start_requested", { bootTimeoutMs: timeouts.bootTimeoutMs })];
}

function freeName(state: State, command: CreateCommand): string {
  const live = Object.values(state.vms).filter(isLive);
  const used = new Set(live.map((vm) => vm.name));
  if (typeof command.name === "string") {
    const taken = live.find(({ name }) => name === command.name);
    if (taken === undefined) return command.name;
    const use = taken.phase === "running" ? "exec" : "start";
    throw new BangerError("name_taken", `a VM named "${taken.name}" already exists`, {
      hint: `banger vm ${use} ${taken.name}${use === "exec" ? " -- CMD" : ""}, or another --name`,
    });
  }
  return command.name.find((name) => !used.has(name)) ?? `vm-${command.vmId}`;
}

/** The next index after the last one given out that no live VM holds, so that addresses are reused late. */
function freeAddressIndex(state: State, addresses: AddressRange): number {
  const live = Object.values(state.vms).filter(isLive);
  const indexes = new Set(live.map((vm) => vm.addressIndex));
  // One that was given out before the network was another one has another index.
  const texts = new Set(live.map((vm) => vm.address));
  const count = addressCount(addresses);
  for (let step = 1; step <= count; step++) {
    const index = ((state.lastAddressIndex + step - 1) % count) + 1;
    if (!indexes.has(index) && !texts.has(addressAt(addresses, index))) return index;
  }
  throw new BangerError("addresses_exhausted", `every one of this home's ${count} addresses is in use`, {
    hint: "banger vm prune",
  });
}

function liveVm(state: State, id: VmId): Vm {
  const vm = state.vms[id];
  if (vm === undefined || !isLive(vm)) throw new BangerError("vm_not_found", `no VM has the id ${id}`);
  return vm;
}

const notNow = (verb: string, vm: Vm): BangerError =>
  new BangerError("not_now", `cannot ${verb} ${vm.name}: it is ${vm.phase}`, {
    hint: `banger vm show ${vm.name}`,
  });

function decideSet(vm: Vm, changes: SpecChanges, labels: LabelChanges = {}): NewEvent[] {
  const spec = { ...vm.spec, ...changes, net: { ...vm.spec.net, ...changes.net } };
  refuseShrinking(vm, spec);
  const keys = Object.keys(spec) as (keyof VmSpec)[];
  const same = keys.every((key) => JSON.stringify(spec[key]) === JSON.stringify(vm.spec[key]));
  const changed = same ? [] : [event(vmStream(vm.id), "vm.spec_changed", { spec })];
  const wanted = [...changed, ...labelling(vm, labels)];
  if (wanted.every((each) => vmCan(vm, each))) return wanted;
  throw notNow("change", vm);
}

function decideVerb(state: State, verb: VmVerb, id: VmId, timeouts: Timeouts): NewEvent[] {
  const vm = liveVm(state, id);
  const wanted = verbEvent(verb, vm, timeouts);
  if (alreadySo(verb, vm)) return [];
  if (vmCan(vm, wanted)) return [wanted];
  throw notNow(verb, vm);
}

function verbEvent(verb: VmVerb, vm: Vm, { bootTimeoutMs, stopTimeoutMs }: Timeouts): NewEvent {
  const stream = vmStream(vm.id);
  switch (verb) {
    case "start":
      return event(stream, "vm.start_requested", { bootTimeoutMs });
    case "stop":
      return event(stream, "vm.stop_requested", { timeoutMs: stopTimeoutMs });
    case "restart":
      return event(stream, "vm.restart_requested", { timeoutMs: stopTimeoutMs, bootTimeoutMs });
    case "kill":
      return event(stream, "vm.kill_requested", {});
    case "delete":
      return event(stream, "vm.delete_requested", {});
  }
}

function alreadySo(verb: VmVerb, vm: Vm): boolean {
  switch (verb) {
    case "start":
      return vm.phase === "starting" || vm.phase === "running" || (vm.phase === "stopping" && vm.restart);
    case "restart":
      return vm.phase === "stopping" && vm.restart;
    case "stop":
      return vm.phase === "stopped" || (vm.phase === "stopping" && !vm.restart);
    case "kill":
      return vm.phase === "stopped" || (vm.phase === "stopping" && vm.stop?.mode === "kill" && !vm.restart);
    case "delete":
      return vm.phase === "deleting";
  }
}

function decidePull(state: State, { imageId, name, source }: ImageRequest): NewEvent[] {
  const image = state.images[imageId];
  if (image?.phase === "building" || image?.phase === "ready") {
    if (sameSource(image.source, source)) return [];
    throw new BangerError("image_differs", `${imageId} is already present, but built with other options`, {
      hint: `--name ANOTHER, or: banger image delete ${imageId}`,
    });
  }
  // What is built anew differs in its bytes, and disks that lie on top of the old one would be torn.
  const users = Object.values(state.vms).filter(
    (vm) => isLive(vm) && vm.imageId === imageId && vm.disksHoldData,
  );
  if (image?.error?.code === "image_damaged" && users.length > 0) {
    const names = users.map((vm) => vm.name).join(" ");
    throw new BangerError("image_in_use", `${image.error.message}; disks of ${names} are based on it`, {
      hint: `restore its files, or: banger vm delete ${names}`,
    });
  }
  const wanted = event(imageStream(imageId), "image.pull_requested", { imageId, name, source });
  if (image === undefined || imageCan(image, wanted)) return [wanted];
  throw new BangerError("not_now", `image ${name} is ${image.phase}`, { retry: "later" });
}

/** One manifest may go by many names. */
function sameSource(a: ImageSource, b: ImageSource): boolean {
  const told = (source: ImageSource) =>
    JSON.stringify(source.kind === "oci" ? { ...source, reference: "" } : source);
  return told(a) === told(b);
}

function decideDeleteImage(state: State, imageId: ImageId): NewEvent[] {
  const image = state.images[imageId];
  if (image === undefined || image.phase === "deleted") {
    throw new BangerError("image_not_found", `there is no image ${imageId}`, { hint: "banger image list" });
  }
  if (image.phase === "deleting") return [];
  const users = Object.values(state.vms).filter((vm) => isLive(vm) && vm.imageId === imageId);
  if (users.length > 0) {
    const names = users.map((vm) => vm.name).join(" ");
    throw new BangerError("image_in_use", `${imageId} is in use by ${names}`, {
      hint: `banger vm delete ${names}`,
    });
  }
  const waiting = Object.values(state.images).find(
    (each) => each.phase === "building" && needOf(each.source) === imageId,
  );
  if (waiting !== undefined) {
    throw new BangerError("image_in_use", `${waiting.id} is being built with ${imageId}`, {
      hint: `banger image delete ${waiting.id}`,
      retry: "later",
    });
  }
  return [event(imageStream(imageId), "image.delete_requested", {})];
}

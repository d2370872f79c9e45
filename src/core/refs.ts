/** Pure: which VM, image or kernel a word of the user means. */
import { isKernelId } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";
import { suggest } from "../lib/suggest.js";
import type { Image, State, Vm } from "../model/model.js";

export const isLive = (vm: Vm): boolean => vm.phase !== "deleted";

/**
 * The VM that a name, an id or a unique id prefix means.
 * @throws BangerError `vm_not_found` or `ref_ambiguous`.
 */
export function resolveVm(state: State, ref: string): Vm {
  const live = Object.values(state.vms).filter(isLive);
  const exact = live.find((vm) => vm.name === ref) ?? live.find((vm) => vm.id === ref);
  if (exact !== undefined) return exact;
  const matches = /^[0-9a-f]+$/.test(ref) ? live.filter((vm) => vm.id.startsWith(ref)) : [];
  if (matches.length === 1) return matches[0] as Vm;
  if (matches.length > 1) {
    const names = matches.map((vm) => `${vm.id} (${vm.name})`).join(", ");
    throw new BangerError("ref_ambiguous", `"${ref}" could be any of ${names}`, {
      hint: "use a longer id prefix",
    });
  }
  const meant = suggest(
    ref,
    live.map((vm) => vm.name),
  );
  throw new BangerError("vm_not_found", `no VM is named "${ref}"`, {
    hint: meant === undefined ? "banger vm list" : `${meant}, or see: banger vm list`,
  });
}

const isCalled = ({ id, name, source }: Image, ref: string): boolean =>
  id === ref || name === ref || (source.kind === "oci" && source.reference === ref);

/** The image that a name, an id or a reference in full means: the newest ready one, else the newest one. */
export const findImage = (state: State, ref: string): Image | undefined =>
  find(state, (image) => !isKernelId(image.id) && isCalled(image, ref));

/** The kernel that a name or id means. */
export const findKernel = (state: State, ref: string): Image | undefined =>
  find(state, (image) => isKernelId(image.id) && isCalled(image, ref));

function find(state: State, wanted: (image: Image) => boolean): Image | undefined {
  const matches = Object.values(state.images)
    .filter((image) => wanted(image) && image.phase !== "deleted")
    .sort((a, b) => b.createdAt - a.createdAt);
  return matches.find((image) => image.phase === "ready") ?? matches[0];
}

/** The VM that an earlier run of the same create command made. */
export const createdBy = (state: State, commandId: string): Vm | undefined =>
  Object.values(state.vms).find((vm) => vm.commandId === commandId);

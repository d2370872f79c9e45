/** Firecracker as one of the VMMs: its parts, joined. */
import type { Vmm, VmmFacts, VmmKind } from "../vmm.js";
import { FirecrackerControl } from "./control.js";
import { firecrackerDial } from "./dial.js";
import { firecrackerSigns } from "./signs.js";
import { firecrackerStart, type StartOptions } from "./start.js";
import { firecrackerVersion } from "./version.js";

export function firecrackerVmm(options: StartOptions): Vmm {
  const { home, clock, system } = options;
  const helper = system?.helper;
  return {
    ...firecrackerSigns,
    start: firecrackerStart(options),
    attach: (id, process, hooks) => new FirecrackerControl({ home, helper }, id, process, hooks),
    dial: firecrackerDial(home, clock),
    async cleanUp(vmId, signal) {
      await helper?.call("ensureNoJail", { vmId }, signal);
    },
  };
}

/** By what the helper says, and by the installation where it says nothing. */
function usable({ kvm, about, firecracker }: VmmFacts): boolean {
  if (about === undefined) return kvm && firecracker !== null;
  return kvm && about.firecracker !== null && "version" in firecrackerVersion(about.firecracker);
}

export const firecracker: VmmKind = {
  kind: firecrackerSigns.kind,
  title: "Firecracker",
  modes: ["system"],
  usable,
  make: firecrackerVmm,
};

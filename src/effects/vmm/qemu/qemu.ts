/** QEMU as one of the VMMs: its parts, joined. */
import { vmHandles } from "../../../home/handles.js";
import type { Clock } from "../../../lib/clock.js";
import type { Vmm, VmmKind } from "../vmm.js";
import { QemuControl } from "./control.js";
import { qemuDial } from "./dial.js";
import { launches } from "./machine.js";
import { qemuSigns } from "./signs.js";
import { qemuStart, type StartOptions } from "./start.js";

export function qemuVmm(options: StartOptions & { clock: Clock }): Vmm {
  const { home, clock } = options;
  return {
    ...qemuSigns,
    start: qemuStart(options),
    attach: (id, process, hooks) => new QemuControl(vmHandles(home, id), process, hooks),
    dial: qemuDial(home, clock),
    // All that it leaves lies in the VM's own directories.
    cleanUp: async () => {},
  };
}

export const qemu: VmmKind = {
  kind: qemuSigns.kind,
  title: "QEMU",
  modes: ["user", "system"],
  usable: () => true,
  make: (host) => qemuVmm({ ...host, launch: launches(host) }),
};

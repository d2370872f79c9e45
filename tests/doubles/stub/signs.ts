/** By what a stub VMM is known, and what it is asked for. */
import type { VmmSigns } from "../../../src/effects/vmm/vmm.js";
import { parseGuestName } from "../../../src/home/handles.js";

/** In the VM's runtime directory, where the process sits. */
export const stubFiles = { control: "stub.sock", agent: "stub-agent.sock" } as const;

export type Request = { do: "hello" | "power" };

export const stubSigns: VmmSigns = {
  kind: "stub",
  serves(argv) {
    const id = argv[2] === "--stub" ? parseGuestName(argv[3] ?? "") : undefined;
    return id === undefined ? undefined : { id, accelerator: "tcg" };
  },
  traces: ({ runtime, workDisk }) => ({ places: [runtime], files: [workDisk] }),
};

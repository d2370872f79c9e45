/** Pure: by what a Firecracker of ours is known. Its jailer made the arguments, and put it into a jail of its own. */
import { basename } from "node:path";
import { parseGuestName } from "../../../home/handles.js";
import type { VmmSigns } from "../vmm.js";

export const firecrackerSigns: VmmSigns = {
  kind: "firecracker",
  serves(argv) {
    const jailId = argv[argv.indexOf("--id") + 1];
    if (!argv.includes("--id") || jailId === undefined || basename(argv[0] ?? "") !== "firecracker")
      return undefined;
    const id = parseGuestName(jailId);
    return id === undefined ? undefined : { id, accelerator: "kvm" };
  },
  traces: ({ jailRoot }) => ({ places: [jailRoot], files: [] }),
};

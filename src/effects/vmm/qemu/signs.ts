/** Pure: by what a QEMU of ours is known. */
import { parseGuestName, type VmHandles } from "../../../home/handles.js";
import type { Accelerator, VmId } from "../../../model/model.js";
import type { VmmSigns } from "../vmm.js";

/** The parts of a QEMU option: commas separate, a doubled comma stands for itself. */
export function parseOption(option: string): string[] {
  const marked = option.replaceAll(",,", "\0");
  return marked.split(",").map((part) => part.replaceAll("\0", ","));
}

function vmOf(argv: readonly string[]): VmId | undefined {
  const name = argv[argv.indexOf("-name") + 1];
  if (!argv.includes("-name") || name === undefined) return undefined;
  const guest = parseOption(name).find((part) => part.startsWith("guest="));
  return guest === undefined ? undefined : parseGuestName(guest.slice("guest=".length));
}

/** What executes the guest: QEMU itself translates where it is told nothing. */
const acceleratorOf = (argv: readonly string[]): Accelerator =>
  parseOption(argv[argv.indexOf("-accel") + 1] ?? "")[0] === "kvm" ? "kvm" : "tcg";

export const qemuSigns: VmmSigns = {
  kind: "qemu",
  serves(argv) {
    const id = vmOf(argv);
    return id === undefined ? undefined : { id, accelerator: acceleratorOf(argv) };
  },
  traces: ({ runtime, directory, workDisk, rootDisk, rootFile }: VmHandles) => ({
    places: [runtime, directory],
    files: [workDisk, rootDisk, rootFile],
  }),
};

/** Root disks of user mode: a qcow2 overlay of the image. */
import type { RootForm } from "./disks.js";
import { exists, publish, temporaryName } from "./publish.js";

/** `qemuImg` is the name or path of the program. */
export const overlayRoot = (qemuImg: string): RootForm => ({
  path: ({ rootDisk }) => rootDisk,
  async make({ rootDisk }, rootfs, { runTool }, signal) {
    if (await exists(rootDisk)) return;
    const argv = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", rootfs, temporaryName(rootDisk)];
    await runTool({ tool: qemuImg, argv, writes: rootDisk, package: "qemu-utils", signal });
    await publish(rootDisk);
  },
});

/** Root disks of user mode: a qcow2 overlay of the image, which may be larger than the image. */
import { closeSync, openSync, readSync } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { exists, publish, temporaryName } from "../../host/publish.js";
import type { RootForm } from "./disks.js";

/**
 * The size that the guest sees, which the header has at offset 24, in big-endian order (qemu: docs/interop/qcow2.rst);
 * 0 of a file that is no qcow2: QEMU is the one to say so, when it is to open it.
 */
function virtualBytes(path: string): number {
  const header = Buffer.alloc(32);
  const file = openSync(path, "r");
  try {
    if (readSync(file, header) === header.length && header.readUInt32BE(0) === 0x514649fb)
      return Number(header.readBigUInt64BE(24));
    return 0;
  } finally {
    closeSync(file);
  }
}

/** `qemuImg` is the name or path of the program. */
export const overlayRoot = (qemuImg: string): RootForm => ({
  path: ({ rootDisk }) => rootDisk,
  bytes: ({ rootDisk }) => virtualBytes(rootDisk),
  async make({ rootDisk, rootGrowingMark }, { rootfs, rootMiB }, { runTool }, signal) {
    const tool = { tool: qemuImg, writes: rootDisk, package: "qemu-utils", signal };
    const wanted = rootMiB * 2 ** 20;
    if (await exists(rootDisk)) {
      const argv = ["resize", "-q", "-f", "qcow2", rootDisk, String(wanted)];
      if (virtualBytes(rootDisk) < wanted) await runTool({ ...tool, argv });
      // The guest makes its file system fill the disk when it boots.
      await rm(rootGrowingMark, { force: true });
      return;
    }
    const size = wanted > (await stat(rootfs)).size ? [String(wanted)] : [];
    const over = ["-q", "-f", "qcow2", "-F", "raw", "-b", rootfs];
    await runTool({ ...tool, argv: ["create", ...over, temporaryName(rootDisk), ...size] });
    await publish(rootDisk);
  },
});

/** Root disks of system mode: what a snapshot of the image keeps of its own, or a copy of the image. */
import { lstat, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { exists, makeHoles, publish, temporaryName } from "../../host/publish.js";
import { BangerError } from "../../lib/errors.js";
import type { RootForm } from "./disks.js";

const MiB = 2 ** 20;

/**
 * Bytes in which every block of an origin has room when it is written anew: a persistent snapshot with chunks of 4 KiB
 * keeps 16 bytes for each (Documentation/admin-guide/device-mapper/snapshot.rst), and a little at its beginning.
 */
const roomFor = (originBytes: number): number =>
  Math.ceil((originBytes + originBytes / 128 + 4 * MiB) / MiB) * MiB;

/** The guest has written to a disk of the other form: an empty one of this form must not take its place. */
async function refuseOther(path: string, why: string): Promise<void> {
  if (!(await exists(path))) return;
  const message = `the VM's root disk is ${path}, which cannot be used: ${why}`;
  throw new BangerError("root_disk_form", message, { hint: "banger doctor" });
}

/** Files that an image only points at lie where the root helper follows nobody. */
async function refuseLinked(rootfs: string): Promise<void> {
  if (!(await lstat(rootfs)).isSymbolicLink()) return;
  const id = basename(dirname(rootfs));
  throw new BangerError("image_unmanaged", `the files of image ${id} are outside banger's managed storage`, {
    hint: `banger image promote ${id}`,
  });
}

/** Where the kernel has device-mapper: all zeroes, from which a snapshot begins. */
export const snapshotRoot: RootForm = {
  path: ({ rootCow }) => rootCow,
  async make({ rootCow, rootFile }, { rootfs }) {
    if (await exists(rootCow)) return;
    await refuseLinked(rootfs);
    await refuseOther(rootFile, "this kernel has device-mapper, but had none when the VM was created");
    await makeHoles(temporaryName(rootCow), roomFor((await stat(rootfs)).size));
    await publish(rootCow);
  },
};

/** Elsewhere: a copy, which shares its blocks with the image where the file system can do that. */
export const copiedRoot: RootForm = {
  path: ({ rootFile }) => rootFile,
  async make({ rootCow, rootFile }, { rootfs }, { runTool }, signal) {
    if (await exists(rootFile)) return;
    await refuseLinked(rootfs);
    await refuseOther(rootCow, "this kernel has no device-mapper, but had it when the VM was created");
    const temporary = temporaryName(rootFile);
    await makeHoles(temporary, 0);
    const argv = ["--reflink=auto", "--sparse=always", rootfs, temporary];
    await runTool({ tool: "cp", argv, writes: rootFile, package: "coreutils", signal });
    await publish(rootFile);
  },
};

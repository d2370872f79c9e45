/** Opens and judges what a VM's Firecracker is to find in its chroot. */
import { chownSync, closeSync, constants, fstatSync } from "node:fs";
import { type Home, imageHandles, jailFiles, vmHandles } from "../../src/home/handles.js";
import type { Params } from "../contract.js";
import { below } from "../devices/below.js";
import { type DeviceHost, openNode } from "../devices/mapper.js";
import { pathOnly } from "../libc.js";
import type { Metadata } from "../metadata.js";
import { gateFile, openBelow, pathOf } from "../paths.js";
import { attribute } from "./mount-calls.js";

export interface Part {
  /** An open handle on it. */
  fd: number;
  /** Where Firecracker sees it: a name in its root directory. */
  name: string;
  /** Of the mount that shows it there. */
  attributes: number;
}

const inert = attribute.noSetuid | attribute.noDevices | attribute.noPrograms;

/**
 * A file becomes visible in the jail by a mount of itself, and not by a hard link. Firecracker runs as the owner, whose
 * files these are: through a link it could write to the kernel and the initrd, with which other VMs boot too, as a
 * mount it cannot if that is read-only. A device's own node, mounted, loses its owner with the device; a node made in
 * the jail could be linked elsewhere by the owner and be kept until its number is another device's.
 *
 * Each descriptor is handed to `keep` as soon as it is open. @throws Refusal of paths.ts; HostFailure `device_node`
 */
export function openParts(
  { vmId, imageId, initrd, rootDisk }: Params<"startVmm">,
  { home, owner }: Metadata,
  host: DeviceHost,
  keep: (fd: number) => number,
): Part[] {
  const handles = vmHandles(home, vmId);
  const image = imageHandles(home, imageId);
  const reading = (path: string, root: keyof Home, name: string): Part => {
    const fd = keep(openBelow(home[root], below(home[root], path), pathOnly));
    gateFile(fd, path, { uids: [owner.uid] });
    return { fd, name: name.slice(1), attributes: inert | attribute.readOnly };
  };
  const writing = (path: string, name: string): Part => {
    const fd = keep(openBelow(home.state, below(home.state, path), pathOnly));
    gateFile(fd, path, { uids: [owner.uid], links: 1 });
    return { fd, name: name.slice(1), attributes: inert };
  };
  const device = (name: string): Part => ({
    fd: keep(openNode(handles.deviceName, host)),
    name: name.slice(1),
    attributes: attribute.noSetuid | attribute.noPrograms,
  });
  const log = keep(openLog(handles.vmmLog, home, owner));
  return [
    reading(image.kernel, "data", jailFiles.kernel),
    reading(`${image.directory}/${initrd}`, "data", jailFiles.initrd),
    reading(handles.seed, "state", jailFiles.seed),
    writing(handles.workDisk, jailFiles.work),
    rootDisk === "device" ? device(jailFiles.root) : writing(handles.rootFile, jailFiles.root),
    { fd: log, name: jailFiles.vmmLog.slice(1), attributes: inert },
  ];
}

/** A log of the VM's, to append to and to read; made as the owner's if it is not there. @throws Refusal of paths.ts */
export function openLog(path: string, { state }: Home, { uid, gid }: Metadata["owner"]): number {
  const flags = constants.O_RDWR | constants.O_APPEND;
  const fd = openBelow(state, below(state, path), flags | constants.O_CREAT, 0o600);
  try {
    const { uid: present, nlink, size } = fstatSync(fd);
    // As it is after its making. Another's file cannot be had here: nobody but root gives files away.
    if (present === 0 && nlink === 1 && size === 0) chownSync(pathOf(fd), uid, gid);
    gateFile(fd, path, { uids: [uid], links: 1 });
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

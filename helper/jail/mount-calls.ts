/** The kernel's calls for mounts, by descriptor: libc has no functions for the newer of them. */
import { checked } from "../descriptors.js";
import { libc } from "../libc.js";
import { pathOf } from "../paths.js";

/** open_tree(2), move_mount(2), mount_setattr(2), of Linux 5.2 and 5.12: the same on every architecture. */
const number = { openTree: 428, moveMount: 429, setAttributes: 442 } as const;
const openTree = libc("long syscall(long number, int dir, const char *path, unsigned int flags)");
const moveMount = libc(
  "long syscall(long number, int from, const char *fromPath, int to, const char *toPath, unsigned int flags)",
);
const setAttributes = libc(
  "long syscall(long number, int dir, const char *path, unsigned int flags, void *attributes, size_t size)",
);
const unshareCall = libc("int unshare(int flags)");
const mountCall = libc(
  "int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)",
);
const umountCall = libc("int umount2(const void *target, int flags)");

const emptyPath = 0x1000;
const treeFlag = { clone: 1, closeOnExec: 0o2000000 } as const;
const moveEmptyPaths = 0x04 | 0x40;
const newNamespace = 0x20000;
const slaveAll = 0x80000 | 0x4000;
const detach = 2;
const noFollow = 8;

/** MOUNT_ATTR_ of linux/mount.h. */
export const attribute = { readOnly: 1, noSetuid: 2, noDevices: 4, noPrograms: 8 } as const;

/** A mount of what is open, attached nowhere yet, with these attributes; gone when its descriptor is closed. */
export function detachedMount(fd: number, attributes: number): number {
  const tree = openTree(number.openTree, fd, "", emptyPath | treeFlag.clone | treeFlag.closeOnExec);
  const set = Buffer.alloc(32);
  set.writeBigUInt64LE(BigInt(attributes), 0);
  return checked(tree, () => setAttributes(number.setAttributes, tree, "", emptyPath, set, set.length));
}

/** Attaches it over what the other descriptor stands for. */
export function attachMount(tree: number, target: number): void {
  moveMount(number.moveMount, tree, "", target, "", moveEmptyPaths);
}

/**
 * Puts the calling thread, and what it starts from then on, into a mount namespace of its own. What is unmounted
 * outside goes in there too; what is mounted in there is seen nowhere else, and ends with its last process.
 */
export function leaveMountNamespace(): void {
  unshareCall(newNamespace);
  mountCall(null, "/", null, slaveAll, null);
}

/**
 * Unmounts the topmost of what is mounted over this name of the open directory, never what a symlink leads to. It is
 * out of the tree at once; a process that is in there keeps it until it ends.
 */
export function unmountAt(dir: number, name: Buffer): void {
  const path = Buffer.concat([Buffer.from(`${pathOf(dir)}/`), name, Buffer.of(0)]);
  umountCall(path, noFollow | detach);
}

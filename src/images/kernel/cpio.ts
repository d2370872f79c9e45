/** Pure: writes cpio archives in the "newc" form, the one that the kernel unpacks as its initramfs. */

export interface CpioEntry {
  /** Path inside the archive, without a leading slash. */
  path: string;
  /** File type and permission bits, e.g. 0o100755. */
  mode: number;
  content?: Buffer;
  /** Major and minor number of a device node. */
  device?: readonly [number, number];
}

export const regularFile = 0o100000;
export const directory = 0o040000;
export const characterDevice = 0o020000;

const trailer = "TRAILER!!!";
const alignment = 4;

const padded = (parts: Buffer[], length: number): Buffer[] => {
  const rest = length % alignment;
  return rest === 0 ? parts : [...parts, Buffer.alloc(alignment - rest)];
};

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0");

function entryBytes(entry: CpioEntry, inode: number): Buffer {
  const name = Buffer.from(`${entry.path}\0`, "utf8");
  const content = entry.content ?? Buffer.alloc(0);
  const [major, minor] = entry.device ?? [0, 0];
  const links = entry.path === trailer ? 1 : (entry.mode & directory) === directory ? 2 : 1;
  const fields = [inode, entry.mode, 0, 0, links, 0, content.length, 0, 0, major, minor, name.length, 0];
  const head = Buffer.from(`070701${fields.map(hex).join("")}`, "latin1");
  return Buffer.concat([
    ...padded([head, name], head.length + name.length),
    ...padded([content], content.length),
  ]);
}

/** One whole archive, owner root and time zero throughout: equal entries give equal bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const all = [...entries, { path: trailer, mode: 0 }];
  return Buffer.concat(all.map((entry, index) => entryBytes(entry, index + 1)));
}

/** The seed of a VM: a plain ustar archive that its agent unpacks over `/` at every boot. */
import { Header } from "tar";
import { BangerError } from "../../lib/errors.js";

export interface SeedFile {
  /** Relative to the guest's root; a trailing slash makes a directory. */
  path: string;
  mode: number;
  content?: string | Buffer;
  /** Makes it a symbolic link to there. */
  link?: string;
  /** Only where the guest has nothing of that name: what its user changes later stays. */
  once?: boolean;
  /** Only where the directory that it would be in is there: places that only some distributions have. */
  placed?: boolean;
  /** Added to the end of the file that is there, wherever links lead, unless it holds it already. */
  append?: boolean;
}

export interface SeedContent {
  hostName: string;
  authorizedKey: string;
  hostKey: string;
  hostKeyPublic: string;
}

const blockSize = 512;
/** Bits that mean nothing on these files: so the agent is told. Sticky: `once`; setuid: `placed`; setgid: `append`. */
const bits = { once: 0o1000, placed: 0o4000, append: 0o2000 } as const;

const modeOf = (file: SeedFile): number =>
  (["once", "placed", "append"] as const).reduce(
    (mode, key) => (file[key] ? mode | bits[key] : mode),
    file.mode,
  );

/** An archive of `files`, all owned by root, in the order given. `mtimeMs` is ms since the epoch. */
export function packSeed(files: readonly SeedFile[], mtimeMs: number): Buffer {
  const blocks: Buffer[] = [];
  for (const file of files) {
    const content = Buffer.from(file.content ?? "");
    const header = new Header({
      path: file.path,
      type: typeOf(file),
      mode: modeOf(file),
      ...(file.link !== undefined && { linkpath: file.link }),
      uid: 0,
      gid: 0,
      uname: "root",
      gname: "root",
      size: content.length,
      mtime: new Date(mtimeMs),
    });
    const block = Buffer.alloc(blockSize);
    if (header.encode(block, 0)) {
      throw new BangerError(
        "path_too_long",
        `${file.path} is too long for the seed, or points to a path that is`,
      );
    }
    blocks.push(block, content, Buffer.alloc((blockSize - (content.length % blockSize)) % blockSize));
  }
  return Buffer.concat([...blocks, Buffer.alloc(2 * blockSize)]);
}

const typeOf = ({ path, link }: SeedFile) =>
  link !== undefined ? "SymbolicLink" : path.endsWith("/") ? "Directory" : "File";

/** What every guest gets: its name, the key that may log in, and its own SSH identity. */
export function seedFiles(content: SeedContent): SeedFile[] {
  const hosts = [
    "127.0.0.1 localhost",
    `127.0.1.1 ${content.hostName}.vm ${content.hostName}`,
    "::1 localhost ip6-localhost ip6-loopback",
  ];
  return [
    { path: "etc/", mode: 0o755 },
    { path: "etc/hostname", mode: 0o644, content: `${content.hostName}\n` },
    { path: "etc/hosts", mode: 0o644, content: `${hosts.join("\n")}\n` },
    { path: "etc/ssh/", mode: 0o755 },
    { path: "etc/ssh/ssh_host_ed25519_key", mode: 0o600, content: content.hostKey },
    { path: "etc/ssh/ssh_host_ed25519_key.pub", mode: 0o644, content: content.hostKeyPublic },
    { path: "root/", mode: 0o755 },
    { path: "root/.ssh/", mode: 0o700 },
    { path: "root/.ssh/authorized_keys", mode: 0o600, content: content.authorizedKey },
  ];
}

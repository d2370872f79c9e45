/** Layers with everything that images hold, and the two or three ways in which each of it comes. */
import { type MadeEntry, tar, tarEntry } from "./tar-maker.js";

const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
const acl = Buffer.from(
  "0200000001000600ffffffff02000700e803000004000400ffffffff10000700ffffffff20000400ffffffff",
  "hex",
);
const many = (count: number, make: (index: number) => MadeEntry): MadeEntry[] =>
  Array.from({ length: count }, (_, index) => make(index));
const directory = (name: string, mode = 0o755): MadeEntry => ({ name, type: "5", mode });

/** Every kind of entry. */
export const sampleEntries: readonly MadeEntry[] = [
  directory("./", 0o755),
  directory("bin/"),
  { name: "bin/tool", mode: 0o4755, data: "tool" },
  { name: "bin/group", mode: 0o2711, data: "group", uid: 3_000_000_000, gid: 70_000 },
  { name: "bin/again", type: "1", link: "bin/tool" },
  { name: "abs", type: "2", link: "/etc/passwd" },
  { name: "long-link", type: "2", link: `/${"l".repeat(300)}` },
  { name: "link60", type: "2", link: "x".repeat(60) },
  { name: "link59", type: "2", link: "x".repeat(59) },
  { name: "linked-link", type: "1", link: "abs" },
  { name: "fifo", type: "6", mode: 0o600 },
  { name: "sda17", type: "4", major: 8, minor: 17, mode: 0o660, gid: 6 },
  { name: "large-minor", type: "3", major: 300, minor: 70_000 },
  { name: "empty", data: "" },
  { name: "capable", data: "cap", pax: [["SCHILY.xattr.security.capability", capability]] },
  { name: "listed", data: "acl", pax: [["SCHILY.xattr.user.large", Buffer.alloc(700, "v")]] },
  { name: "acl", data: "acl", mode: 0o674, pax: [["SCHILY.xattr.system.posix_acl_access", acl]] },
  { name: "exact", data: Buffer.alloc(8192, "e") },
  { name: "nanoseconds", data: "n", pax: [["mtime", "1234567890.123456789"]] },
  { name: "before-the-epoch", data: "b", pax: [["mtime", "-5.25"]] },
  { name: "far-future", data: "f", pax: [["mtime", "9000000000"]] },
  { name: "caf\xe9-\xff\xfe", data: "not UTF-8" },
  { name: `${"d".repeat(120)}/${"f".repeat(255)}`, data: "long" },
  directory("sticky/", 0o1777),
  directory("many/"),
  ...many(3000, (index) => ({ name: `many/name-${index}`, data: index % 3 === 0 ? `${index}` : "" })),
  directory("replaced/"),
  { name: "replaced/inside", data: "goes" },
  { name: "file-then-directory", data: "file" },
  directory("whole/"),
  directory("whole/sub/"),
  { name: "whole/sub/old", data: "old" },
  directory("opaque/"),
  { name: "opaque/old", data: "old" },
  directory("opaque/sub/"),
  { name: "opaque/sub/old", data: "old" },
  directory("usr/lib/"),
  { name: "lib", type: "2", link: "usr/lib" },
  { name: "up", type: "2", link: "../../../usr" },
  { name: "kept-by-link", data: Buffer.alloc(5000, "k") },
  { name: "big", data: Buffer.alloc(3_000_000, "g") },
];

const changes: MadeEntry[] = [
  { name: "replaced", data: "now a file" },
  directory("file-then-directory/"),
  { name: "file-then-directory/inside", data: "in" },
  { name: ".wh.whole" },
  directory("opaque/"),
  { name: "opaque/new", data: "new" },
  { name: "opaque/.wh..wh..opq" },
  directory("opaque/sub/"),
  { name: "opaque/sub/new", data: "new" },
  { name: "lib/through-link", data: "lands in usr/lib" },
  { name: "up/lib/through-dots", data: "lands in usr/lib too" },
  { name: "second-name", type: "1", link: "kept-by-link" },
  { name: ".wh.kept-by-link" },
  { name: ".wh.big" },
  { name: "bin/tool", data: "other tool", mode: 0o755 },
  directory("sticky/", 0o1700),
  { name: "implied/parents/here", data: "h" },
];

const more: MadeEntry[] = [
  { name: "/from-the-root", data: "absolute names count from the root" },
  { name: "whole", type: "2", link: "usr" },
  { name: "small-in-big-s-place", data: Buffer.alloc(100_000, "s") },
  { name: "old-style/", type: "\0", mode: 0o700 },
  { name: "many/.wh.name-7" },
  { name: "many/name-8", type: "5", mode: 0o711 },
];

/** Layers from the lowest up. */
export const sampleLayers: readonly Buffer[] = [tar(sampleEntries), tar(changes), tar(more)];

/** A sparse file in the form in which GNU tar writes it to pax archives. */
export function sparseEntry(
  name: string,
  realSize: number,
  pieces: readonly (readonly [number, Buffer])[],
): Buffer {
  const map = `${pieces.length}\n${pieces.map(([offset, { length }]) => `${offset}\n${length}\n`).join("")}`;
  const head = Buffer.alloc(Math.ceil(map.length / 512) * 512);
  head.write(map);
  return tarEntry({
    name: "GNUSparseFile.0/placeholder",
    data: Buffer.concat([head, ...pieces.map(([, bytes]) => bytes)]),
    pax: [
      ["GNU.sparse.major", "1"],
      ["GNU.sparse.minor", "0"],
      ["GNU.sparse.name", name],
      ["GNU.sparse.realsize", String(realSize)],
    ],
  });
}

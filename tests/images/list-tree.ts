/** Says of a directory of the host what `Ext4Reader` says of an image; Python, because Node reads no attributes. */
import { execFileSync } from "node:child_process";
import type { Seen } from "./ext4-reader.js";

const program = `
import base64, hashlib, json, os, stat, sys
root = os.fsencode(sys.argv[1])
found = {}
def see(path):
    s = os.lstat(path)
    kind = stat.S_IFMT(s.st_mode)
    content = b""
    if kind == stat.S_IFREG:
        content = open(path, "rb").read()
    elif kind == stat.S_IFLNK:
        content = os.readlink(path)
    device = kind in (stat.S_IFCHR, stat.S_IFBLK)
    xattrs = {}
    for name in os.listxattr(path, follow_symlinks=False):
        xattrs[name] = base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode()
    found[path[len(root):].lstrip(b"/").decode("latin1")] = {
        "type": kind, "mode": stat.S_IMODE(s.st_mode), "uid": s.st_uid, "gid": s.st_gid,
        "links": 0 if kind == stat.S_IFDIR else s.st_nlink,
        "hash": hashlib.sha256(content).hexdigest(), "size": len(content),
        "device": "%d:%d" % (os.major(s.st_rdev), os.minor(s.st_rdev)) if device else "",
        "mtime": "" if kind == stat.S_IFDIR else str(s.st_mtime_ns), "xattrs": xattrs}
    if kind == stat.S_IFDIR:
        for name in os.listdir(path):
            see(os.path.join(path, name))
see(root)
json.dump(found, sys.stdout)
`;

export function listTree(root: string): Map<string, Seen> {
  const text = execFileSync("python3", ["-c", program, root], { maxBuffer: 1 << 28, encoding: "utf8" });
  return new Map(Object.entries(JSON.parse(text) as Record<string, Seen>));
}

/** The library that QEMU carries its guest's traffic with, in a plain process: what it lets through, call by call. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, test } from "node:test";
import { guestNetLibrary, launcherProgram, vmmArguments } from "../../src/host/launcher.js";

const root = mkdtempSync(`${tmpdir()}/banger guest net:`);
after(() => rmSync(root, { recursive: true }));

/** Tries each address and port by each call; prints for each the number of the error, or 0. */
const attempts = String.raw`
import ctypes, json, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
class IoVec(ctypes.Structure): _fields_ = [("base", ctypes.c_char_p), ("size", ctypes.c_size_t)]
class Message(ctypes.Structure):
  _fields_ = [("name", ctypes.c_char_p), ("namelen", ctypes.c_uint32), ("iov", ctypes.POINTER(IoVec)),
    ("iovlen", ctypes.c_size_t),
    ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int), ("length", ctypes.c_uint)]
def raw(family, address, port):
  packed = socket.inet_pton(family, address)
  head = family.to_bytes(2, "little") + port.to_bytes(2, "big")
  return head + packed + bytes(8) if family == socket.AF_INET else head + bytes(4) + packed + bytes(4)
def mmsg(s, family, address, port):
  name = raw(family, address, port)
  m = Message(name, len(name), ctypes.pointer(IoVec(b"x", 1)), 1, None, 0, 0, 0)
  if libc.sendmmsg(s.fileno(), ctypes.byref(m), 1, 0) < 0: raise OSError(ctypes.get_errno(), "sendmmsg")
calls = {
  "tcp": (socket.SOCK_STREAM, lambda s, f, a, p: s.connect((a, p))),
  "udp": (socket.SOCK_DGRAM, lambda s, f, a, p: s.connect((a, p))),
  "sendto": (socket.SOCK_DGRAM, lambda s, f, a, p: s.sendto(b"x", (a, p))),
  "sendmsg": (socket.SOCK_DGRAM, lambda s, f, a, p: s.sendmsg([b"x"], [], 0, (a, p))),
  "sendmmsg": (socket.SOCK_DGRAM, mmsg),
}
out = {}
for target in sys.argv[1:]:
  address, port = target.rsplit("|", 1)
  family = socket.AF_INET6 if ":" in address else socket.AF_INET
  for call, (kind, act) in calls.items():
    s = socket.socket(family, kind)
    try: act(s, family, address, int(port)); out[call + " " + target] = 0
    except OSError as error: out[call + " " + target] = error.errno
print(json.dumps(out))
`;

/** Listens for TCP at the ports given, on all addresses, and then runs the command that follows. */
const listening = String.raw`
import socket, subprocess, sys
ports = sys.argv[1].split(",")
servers = [socket.create_server(("::", int(p)), family=socket.AF_INET6, dualstack_ipv6=True) for p in ports]
sys.exit(subprocess.run(sys.argv[2:]).returncode)
`;

const port = 9053;
const loopback = ["127.0.0.1", "127.200.3.4", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"];
const metadata = [
  "169.254.169.254",
  "169.254.3.3",
  "::ffff:169.254.169.254",
  "100.100.100.200",
  "168.63.129.16",
];
const elsewhere = ["10.99.0.1", "::ffff:10.99.0.1", "fd99::1", "126.0.0.1", "128.0.0.1"];
const onlyV6 = ["fd00:ec2::254", "fd20:ce::254"];
const closed = [...loopback, ...metadata, ...onlyV6];

/** A network of its own, in which all these addresses are this host's and answer. */
const setUp = `set -e
mount --bind "$0/resolv.conf" /etc/resolv.conf
ip link set lo up
for a in 169.254.169.254 169.254.3.3 100.100.100.200 168.63.129.16; do ip addr add $a/32 dev lo; done
for a in 10.99.0.1 126.0.0.1 128.0.0.1; do ip addr add $a/32 dev lo; done
for a in fd99::1 ${onlyV6.join(" ")}; do ip -6 addr add $a/128 dev lo; done
exec "$@"`;

function reach(targets: readonly string[], resolvConf: string, library: boolean): Record<string, number> {
  writeFileSync(`${root}/resolv.conf`, resolvConf);
  const asked = ["/usr/bin/python3", "-c", attempts, ...targets];
  const read = ["/usr", "/lib", "/lib64", "/bin", "/etc"];
  const guarded = vmmArguments(
    { read, write: [], ...(library && { preload: guestNetLibrary }) },
    asked[0] as string,
    asked.slice(1),
  );
  const root0 = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const ports = `${port},53`;
  const server = ["/usr/bin/python3", "-c", listening, ports, launcherProgram, ...guarded];
  const command = ["--net", "--mount", ...root0, "--", "sh", "-c", setUp, root, ...server];
  const { status, stdout, stderr } = spawnSync("unshare", command, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Record<string, number>;
}

const at = (addresses: readonly string[], number = port) =>
  addresses.map((address) => `${address}|${number}`);
const refused = 111;
const resultsOf = (found: Record<string, number>) => new Set(Object.values(found));

test("without it every one of these addresses is reached, by every call", () => {
  const found = reach(at([...closed, ...elsewhere]), "", false);
  assert.equal(Object.keys(found).length, 5 * (closed.length + elsewhere.length));
  assert.deepEqual(
    Object.entries(found).filter(([, error]) => error !== 0),
    [],
  );
});

test("with it loopback, link-local and metadata addresses are refused, and all others reached", () => {
  const found = reach(at(closed), "nameserver 127.0.0.53\n", true);
  assert.deepEqual(
    Object.entries(found).filter(([, error]) => error !== refused),
    [],
  );
  assert.deepEqual(resultsOf(reach(at(elsewhere), "", true)), new Set([0]));
});

test("each resolver of resolv.conf is reached at port 53, at no other, and nothing beside it", () => {
  const odd = "# nameserver 127.0.0.9\nsearch lan\nnameserver\t127.0.0.53  \r\n nameserver 127.0.0.8\n";
  const conf = `${odd}nameserver ::1\nnameserver 169.254.169.254`;
  const resolvers = ["127.0.0.53", "::ffff:127.0.0.53", "::1", "169.254.169.254"];
  assert.deepEqual(resultsOf(reach(at(resolvers, 53), conf, true)), new Set([0]));
  assert.deepEqual(resultsOf(reach(at(resolvers), conf, true)), new Set([refused]));
  const others = ["127.0.0.1", "127.0.0.9", "127.0.0.8", "::", "169.254.3.3"];
  assert.deepEqual(resultsOf(reach(at(others, 53), conf, true)), new Set([refused]));
});

test("an odd resolv.conf opens nothing and ends nothing", () => {
  for (const conf of [
    "",
    "nameserver",
    "nameserver \n",
    "nameserver 127.0.0.1x",
    `nameserver ${"1".repeat(9000)}`,
    "\0\n\n",
  ])
    assert.deepEqual(resultsOf(reach(at(["127.0.0.1"], 53), conf, true)), new Set([refused]));
  const zoned = "nameserver ::1%lo\nnameserver fe80::1%lo\n";
  assert.deepEqual(resultsOf(reach(at(["::1"], 53), zoned, true)), new Set([0]));
});

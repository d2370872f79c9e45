/** The gates of metadata, networks and addresses: what is taken, and by which rule the rest is refused. */
import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { gateGuestAddress } from "../../helper/gates.js";
import { parseMetadata, readMetadata } from "../../helper/metadata.js";
import { Refusal } from "../../helper/refusal.js";
import { metadataOf } from "./metadata.js";
import { needsRoot, trustedPlace } from "./trusted-place.js";

const byRule = (rule: string) => (error: unknown) => error instanceof Refusal && error.rule === rule;

/** The metadata with the value at `path` (as "owner/uid") replaced; undefined takes it away. */
function changed(path: string, value: unknown): string {
  const metadata = structuredClone(metadataOf()) as unknown as Record<string, unknown>;
  const names = path.split("/");
  const last = names.pop() as string;
  const holder = names.reduce((each, name) => each[name] as Record<string, unknown>, metadata);
  if (value === undefined) delete holder[last];
  else holder[last] = value;
  return JSON.stringify(metadata);
}

test("sound metadata is taken as it is", () => {
  assert.deepEqual(parseMetadata(JSON.stringify(metadataOf())), metadataOf());
  for (const [path, value] of [
    ["network/bridge", "br-fc-lab-1"],
    ["network/bridge", "br-fc-123456789"],
    ["network/prefixLength", 8],
    ["network/prefixLength", 30],
    ["network/address", "10.200.3.4"],
    ["firecracker", null],
    ["jailer", "/usr/local/bin/jailer"],
  ] as const)
    parseMetadata(changed(path, value));
});

const refused: [rule: string, path: string, value: unknown][] = [
  ["metadata", "owner/uid", 0],
  ["metadata", "owner/uid", -1],
  ["metadata", "owner/uid", 1.5],
  ["metadata", "owner/uid", "1000"],
  ["metadata", "owner/uid", 0xff_ff_ff_ff],
  ["metadata", "owner/gid", 0],
  ["metadata", "owner/name", "a b"],
  ["metadata", "owner/name", ""],
  ["metadata", "owner", undefined],
  ["metadata", "network", null],
  ["metadata", "version", "1\n2"],
  ["metadata", "surplus", 1],
  ["metadata", "home/surplus", "/x"],
  ["metadata", "network/prefixLength", "24"],
  ["metadata", "network/prefixLength", 24.5],
  ["metadata", "jailer", undefined],
  ["bridge-name", "network/bridge", "eth0"],
  ["bridge-name", "network/bridge", "br-fcx"],
  ["bridge-name", "network/bridge", "br-fc-"],
  ["bridge-name", "network/bridge", "br-fc-1234567890"],
  ["bridge-name", "network/bridge", "br-fc-a/b"],
  ["bridge-name", "network/bridge", "br-fc-a\n"],
  ["bridge-name", "network/bridge", "br-fc;id"],
  ["bridge-name", "network/bridge", "docker0"],
  ["bridge-name", "network/bridge", ""],
  ["network", "network/prefixLength", 7],
  ["network", "network/prefixLength", 31],
  ["network", "network/prefixLength", 32],
  ["network", "network/prefixLength", -8],
  ["network", "network/address", "172.16.0.0"],
  ["network", "network/address", "172.16.0.255"],
  ["network", "network/address", "127.0.0.1"],
  ["network", "network/address", "0.0.0.1"],
  ["network", "network/address", "224.0.0.1"],
  ["network", "network/address", "169.254.0.1"],
  ["network", "network/address", "172.16.0.01"],
  ["network", "network/address", "172.16.0.256"],
  ["network", "network/address", "172.16.1"],
  ["network", "network/address", "172.16.0.1/24"],
  ["network", "network/address", "::1"],
  ["network", "network/address", "::ffff:172.16.0.1"],
  ["network", "network/address", "172.16.0.1\n"],
  ["normal-path", "home/state", "var/lib/banger/state"],
  ["normal-path", "home/state", "/var/lib/banger/../state"],
  ["normal-path", "home/runtime", "/run//banger"],
  ["normal-path", "home/config", "/a/\n"],
  ["normal-path", "home/cache", "/cache/"],
  ["normal-path", "home/cache", "/"],
  ["normal-path", "firecracker", "firecracker"],
  ["normal-path", "jailer", "/usr/bin/../sbin/jailer"],
  ["normal-path", "jailer", ""],
  ["home", "home/data", "/var/lib/banger/state"],
  ["home", "home/data", "/var/lib/banger/state/data"],
  ["home", "home/data", "/data"],
  ["home", "home/config", "/var"],
];

test("each mistake is refused by its rule", () => {
  for (const [rule, path, value] of refused)
    assert.throws(
      () => parseMetadata(changed(path, value)),
      byRule(rule),
      `${path} ${JSON.stringify(value)}`,
    );
  for (const text of ["", "null", "[]", "{", "1", '"x"', "{}", '{"__proto__":{"version":"1"}}'])
    assert.throws(() => parseMetadata(text), byRule("metadata"), text);
  const polluted = `{"__proto__":{},${JSON.stringify(metadataOf()).slice(1)}`;
  assert.throws(() => parseMetadata(polluted), byRule("metadata"));
});

test("the file and every directory on the way to it are root's own", { skip: needsRoot }, (t) => {
  const place = trustedPlace(t);
  const make = (name: string, top = `${place}/${name}`) => {
    mkdirSync(`${place}/${name}`);
    const file = `${place}/${name}/install.json`;
    writeFileSync(file, JSON.stringify(metadataOf(top)), { mode: 0o644 });
    return file;
  };
  assert.equal(readMetadata(make("sound")).owner.uid, 1000);
  const table: [string, string, (file: string, directory: string) => void][] = [
    ["group-may-write", "root-writable", (file) => chmodSync(file, 0o664)],
    ["owners-own", "root-owned", (file) => chownSync(file, 1000, 1000)],
    ["directory-writable", "root-writable", (_, directory) => chmodSync(directory, 0o777)],
    ["directory-owners", "root-owned", (_, directory) => chownSync(directory, 1000, 0)],
    ["link", "no-symlink", (file) => (renameSync(file, `${file}.real`), symlinkSync(`${file}.real`, file))],
    [
      "directory-link",
      "no-symlink",
      (_, directory) => (
        renameSync(directory, `${directory}.real`), symlinkSync(`${directory}.real`, directory)
      ),
    ],
    ["long", "metadata", (file) => writeFileSync(file, " ".repeat(65 * 1024))],
    ["fifo-like", "regular-file", (file) => (renameSync(file, `${file}.old`), mkdirSync(file))],
  ];
  for (const [name, rule, change] of table) {
    const file = make(name);
    change(file, `${place}/${name}`);
    assert.throws(() => readMetadata(file), byRule(rule), name);
  }
  assert.throws(() => readMetadata(`${place}/none.json`), { code: "ENOENT" });
  mkdirSync(`${place}/owners`);
  chownSync(`${place}/owners`, 1000, 1000);
  const elsewhere = make("state-below-the-owners", `${place}/owners`);
  assert.throws(
    () => readMetadata(elsewhere),
    byRule("root-owned"),
    "the owner could swap the state directory",
  );
});

test("a guest's address lies in the network and is nobody else's", () => {
  const { network } = metadataOf();
  for (const address of ["172.16.0.2", "172.16.0.254"]) gateGuestAddress(network, address);
  const wrong = ["172.16.0.0", "172.16.0.1", "172.16.0.255", "172.16.1.2", "127.0.0.1", "0.0.0.0", "8.8.8.8"];
  const malformed = [
    "999.16.0.2",
    "172.16.0.02",
    "172.16.0.2 ",
    "172.16.0.2/24",
    "172.16.0.2\n",
    "",
    "::2",
    "1",
  ];
  for (const address of [...wrong, ...malformed])
    assert.throws(() => gateGuestAddress(network, address), byRule("guest-address"), address);
  const wide = { ...network, address: "10.128.0.1", prefixLength: 9 };
  gateGuestAddress(wide, "10.255.255.254");
  for (const address of ["10.255.255.255", "10.128.0.0", "10.127.255.255"])
    assert.throws(() => gateGuestAddress(wide, address), byRule("guest-address"), address);
});

/** The seed archive, read back by tar. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { packSeed, seedFiles } from "../../src/effects/seed/archive.js";

const files = seedFiles({
  hostName: "calm-otter",
  authorizedKey: "ssh-ed25519 AAAA banger\n",
  hostKey: "private\n",
  hostKeyPublic: "public\n",
});
const archive = packSeed(files, Date.UTC(2024, 0, 2));
const tar = (...argv: string[]) =>
  execFileSync("tar", argv, { input: archive, env: { TZ: "UTC", PATH: "/bin:/usr/bin" } });

test("tar lists what was packed, owned by root, with its modes", () => {
  assert.equal(archive.length % 512, 0);
  const rows = tar("-tv").toString().trim().split("\n");
  const listed = rows.map((row) => row.split(/\s+/));
  assert.deepEqual(
    listed.map(([mode, owner, , , , path]) => `${mode} ${owner} ${path}`),
    [
      "drwxr-xr-x root/root etc/",
      "-rw-r--r-- root/root etc/hostname",
      "-rw-r--r-- root/root etc/hosts",
      "drwxr-xr-x root/root etc/ssh/",
      "-rw------- root/root etc/ssh/ssh_host_ed25519_key",
      "-rw-r--r-- root/root etc/ssh/ssh_host_ed25519_key.pub",
      "drwxr-xr-x root/root root/",
      "drwx------ root/root root/.ssh/",
      "-rw------- root/root root/.ssh/authorized_keys",
    ],
  );
  assert.equal(listed[0]?.[3], "2024-01-02");
});

test("contents come back byte for byte", () => {
  assert.equal(tar("-xO", "etc/hostname").toString(), "calm-otter\n");
  assert.match(tar("-xO", "etc/hosts").toString(), /^127\.0\.1\.1 calm-otter\.vm calm-otter$/m);
  const odd = Buffer.from(Array.from({ length: 1025 }, (_, index) => index & 255));
  const other = packSeed(
    [
      { path: "odd", mode: 0o600, content: odd },
      { path: "after", mode: 0o600 },
    ],
    0,
  );
  assert.deepEqual(execFileSync("tar", ["-xO", "odd"], { input: other }), odd);
  assert.equal(execFileSync("tar", ["-t"], { input: other }).toString(), "odd\nafter\n");
});

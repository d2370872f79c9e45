/** The units of system mode: what they run, and how exposed systemd itself finds them. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemHandles, systemHome } from "../../src/home/handles.js";
import { unitsOf } from "../../src/system/units.js";

const metadata = {
  version: "1.0.0",
  owner: { uid: 1000, gid: 1000, name: "ann" },
  home: systemHome("/home/ann/.config/banger"),
  network: { bridge: "br-fc", address: "172.16.0.1", prefixLength: 24 },
  ...{ firecracker: null, jailer: null },
};
const programs = {
  node: "/usr/bin/node",
  tree: "/usr/local/lib/banger",
  kvmGroup: true,
  legacyIptables: false,
};
const units = unitsOf(metadata, programs);
const unit = (name: string): string => units[name] ?? assert.fail(name);

test("the daemon and the builders are the owner's, the sockets open to nobody else", () => {
  assert.match(unit("bangerd.service"), /^User=ann$/m);
  assert.match(unit("banger-builder@.service"), /^User=ann$/m);
  assert.doesNotMatch(unit("banger-helper.service"), /^User=/m);
  for (const name of ["banger-helper.socket", "banger-builder.socket"])
    assert.match(unit(name), /^SocketUser=ann\nSocketMode=0600$/m);
  const { helperSocket, builderSocket } = systemHandles();
  assert.ok(unit("banger-helper.socket").includes(`ListenStream=${helperSocket}\n`));
  assert.ok(unit("banger-builder.socket").includes(`ListenStream=${builderSocket}\n`));
});

test("the group kvm and raw sockets come only where the host has use for them", () => {
  assert.match(unit("bangerd.service"), /^SupplementaryGroups=kvm$/m);
  assert.doesNotMatch(unit("banger-helper.service"), /CAP_NET_RAW/);
  const other = unitsOf(metadata, { ...programs, kvmGroup: false, legacyIptables: true });
  assert.doesNotMatch(other["bangerd.service"] ?? "", /kvm$/m);
  assert.match(other["banger-helper.service"] ?? "", /^CapabilityBoundingSet=.*CAP_NET_RAW/m);
  assert.match(other["banger-helper.service"] ?? "", /^RestrictAddressFamilies=.* AF_INET$/m);
});

const hasAnalyze = spawnSync("systemd-analyze", ["--version"]).status === 0;

/** What `systemd-analyze security` gives the unit, of 10. */
function exposure(name: string): number {
  const directory = mkdtempSync(join(tmpdir(), "banger-units-"));
  try {
    for (const [file, text] of Object.entries(units)) writeFileSync(join(directory, file), text);
    const argv = ["security", "--offline=true", "--no-pager", join(directory, name)];
    const output = execFileSync("systemd-analyze", argv, {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" },
    });
    return Number(/exposure level for \S+ ([\d.]+)/.exec(output)?.[1]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("systemd finds the services as little exposed as docs/privileges.md says", {
  skip: hasAnalyze ? false : "needs systemd-analyze",
}, () => {
  const found = exposure("bangerd.service");
  assert.ok(found <= 2.5, `the daemon: ${found}`);
  const helper = exposure("banger-helper.service");
  assert.ok(helper <= 4.2, `the helper: ${helper}`);
  const builder = exposure("banger-builder@.service");
  assert.ok(builder <= 6.8, `the builder: ${builder}`);
});

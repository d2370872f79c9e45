/** Installing system mode and taking it away, on a double of systemd and helper with real files: all of it, or nothing. */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { parseConfig } from "../../src/config/config.js";
import { systemHome } from "../../src/home/handles.js";
import { BangerError } from "../../src/lib/errors.js";
import { checkHost, checkRoot } from "../../src/system/checks.js";
import { checkOwner, install } from "../../src/system/install.js";
import {
  type Installation,
  installationOf,
  metadataText,
  readInstalled,
} from "../../src/system/installation.js";
import { findOwner } from "../../src/system/owner.js";
import { checkPrograms, firstForeign } from "../../src/system/programs.js";
import { systemStatus } from "../../src/system/status.js";
import { isInstalled, uninstall } from "../../src/system/uninstall.js";
import { vmmPrograms } from "../../src/system/vmm-programs.js";
import { installedFor, type SystemDouble, systemDouble } from "../doubles/system-host.js";

const rootOnly = process.getuid?.() === 0 ? false : "giving files to others needs root";
const uid = installedFor;
const programs = {
  node: "/usr/bin/node",
  tree: "/usr/local/lib/banger",
  kvmGroup: false,
  legacyIptables: false,
};
const vmm = { firecracker: null, jailer: null };

let prefix: string;
let host: SystemDouble;

beforeEach(() => {
  prefix = mkdtempSync(join(tmpdir(), "banger-system-"));
  host = systemDouble(prefix);
});

afterEach(async () => {
  await host.close();
  rmSync(prefix, { recursive: true, force: true });
});

function wanted(text = ""): Installation {
  const owner = { uid, gid: uid, name: "ann", directory: "/home/ann" };
  const home = systemHome("/home/ann/.config/banger", prefix);
  return installationOf({ version: "1.0.0", owner, home, config: parseConfig(text, "c"), programs, vmm });
}

/** Every file and directory of the host, with its owner and mode; what the double needs for itself left out. */
function files(directory = prefix): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    const found = lstatSync(path);
    if (path === `${prefix}/bin` || found.isSocket()) return [];
    const line = `${path.slice(prefix.length)} ${found.uid} ${(found.mode & 0o7777).toString(8)}`;
    return found.isDirectory() ? [line, ...files(path)] : [`${line} ${readFileSync(path, "utf8")}`];
  });
}

const installed = () => readInstalled(host.places.metadata);
const putIn = async (text = "") => install(host, wanted(text), installed());
const takeAway = (purge = false) => uninstall(host, { purge, stopVms: async () => {} });

describe("install", { skip: rootOnly }, () => {
  test("makes what root and the owner need, and does it again without a change", async () => {
    await putIn();
    const { base, jails, state, data, cache, metadata, units } = host.places;
    const seen = (path: string) => [lstatSync(path).uid, lstatSync(path).mode & 0o7777];
    assert.deepEqual([base, jails, metadata, `${units}/bangerd.service`].map(seen), [
      [0, 0o755],
      [0, 0o711],
      [0, 0o644],
      [0, 0o644],
    ]);
    assert.deepEqual([state, data, cache].map(seen), Array(3).fill([uid, 0o700]));
    assert.equal(readFileSync(metadata, "utf8"), metadataText(wanted().metadata));
    assert.equal(readdirSync(units).length, 5);
    const before = files();
    await putIn();
    assert.deepEqual(files(), before);
    const status = await systemStatus(host, wanted().metadata, "1.0.0", programs);
    assert.deepEqual(status.problems, []);
  });

  test("wherever it fails, everything is as it was: nothing, or the installation before", async () => {
    await putIn();
    const steps = host.asked.filter((line) => !line.includes("is-active"));
    await takeAway(true);
    const bare = files();
    for (const failsAt of new Set(steps)) {
      host.failsAt = failsAt;
      await assert.rejects(putIn(), (error: Error) => /failed/.test(error.message), failsAt);
      assert.deepEqual(files(), bare, failsAt);
      host.failsAt = undefined;
      await takeAway(true);
    }
    await putIn();
    const before = files();
    host.failsAt = "helper about";
    await assert.rejects(putIn('vmm = "qemu"\ndefault_dns = "9.9.9.9"\ncidr = "10.7.0.0/16"'));
    assert.deepEqual(files(), before);
  });

  test("a network moves only when no VM runs, and its old bridge goes before", async () => {
    await putIn();
    host.vms = [{ name: "box", phase: "running" }];
    await assert.rejects(putIn('cidr = "10.7.0.0/16"'), { code: "vms_running" });
    await putIn();
    host.vms = [{ name: "box", phase: "stopped" }];
    host.asked = [];
    await putIn('cidr = "10.7.0.0/16"');
    assert.deepEqual(host.asked.slice(0, 2), ["systemctl stop bangerd.service", "helper ensureNoBridge"]);
    assert.equal(installed()?.network.address, "10.7.0.1");
  });

  test("a directory that is another's is not taken", async () => {
    mkdirSync(host.places.state, { recursive: true });
    chownSync(host.places.state, uid + 1, uid + 1);
    await assert.rejects(putIn(), { code: "system_foreign" });
    assert.equal(lstatSync(host.places.state).uid, uid + 1);
    assert.ok(!isInstalled(host));
  });

  test("uninstall leaves the host as it was; without --purge the owner keeps disks and images", async () => {
    const bare = files();
    await putIn();
    writeFileSync(`${host.places.state}/banger.db`, "");
    const seen = { ids: ["0123abcd"] };
    const { look } = host.answers;
    assert.ok(look);
    host.answers.look = { ...look, taps: seen, strayDevices: seen, jails: seen };
    host.asked = [];
    await takeAway();
    assert.deepEqual(
      host.asked.filter((line) => line.startsWith("helper")),
      [
        ...["helper look", "helper ensureNoJail 0123abcd", "helper ensureNoTap 0123abcd"],
        ...["helper ensureNoRootDevice 0123abcd", "helper ensureNoBridge"],
      ],
    );
    assert.ok(existsSync(`${host.places.state}/banger.db`));
    assert.ok(!isInstalled(host) && !existsSync(host.places.jails) && !existsSync(host.places.runtime));
    await takeAway(true);
    assert.deepEqual(files(), bare);
    await takeAway(true);
  });

  test("what the helper cannot see is not left behind in silence", async () => {
    await putIn();
    const { look } = host.answers;
    assert.ok(look);
    host.answers.look = { ...look, nats: { unknown: "nft is gone" } };
    await assert.rejects(takeAway(), { code: "helper_blind" });
    assert.ok(isInstalled(host));
    host.answers.look = look;
    await takeAway();
  });

  test("status names what differs, what is missing and what does not answer", async () => {
    await putIn();
    writeFileSync(`${host.places.units}/bangerd.service`, "changed");
    rmSync(`${host.places.units}/banger-builder@.service`);
    rmSync(`${host.places.udevRules}/12-banger.rules`);
    host.failsAt = "helper about";
    const { problems } = await systemStatus(host, wanted().metadata, "2.0.0", programs);
    assert.deepEqual(problems, [
      "banger-builder@.service is missing",
      "bangerd.service is not what this version writes",
      "the daemon is version 1.0.0, this is 2.0.0",
      "the helper: it failed",
      "the installation is version 1.0.0, this is 2.0.0",
      `${host.places.udevRules}/12-banger.rules is not what this version writes`,
    ]);
  });
});

test("who may install, for whom and where", async () => {
  assert.throws(() => checkRoot(1000, "system install"), {
    code: "needs_root",
    hint: "sudo banger system install",
  });
  const tools = { ip: true, firewall: true };
  const good = { architecture: "x64", systemd: true, tools };
  checkHost(good);
  assert.throws(() => checkHost({ ...good, architecture: "arm64" }), { code: "architecture_unsupported" });
  assert.throws(() => checkHost({ ...good, systemd: false }), { code: "systemd_missing" });
  assert.throws(
    () => checkHost({ ...good, tools: { ...tools, firewall: false } }),
    /neither nft nor iptables/,
  );
  const owner = (named: string | undefined, env = {}) => findOwner(host, named, env);
  await assert.rejects(owner(undefined), { code: "owner_missing" });
  await assert.rejects(owner(undefined, { SUDO_USER: "root" }), { code: "owner_missing" });
  await assert.rejects(owner("root"), { code: "owner_is_root" });
  for (const name of ["no-such-user", "-h", "a b", "x:0:0", "%u"])
    await assert.rejects(owner(name), { code: "owner_unknown" }, name);
  assert.equal((await owner("nobody", { SUDO_USER: "root" })).name, "nobody");
  assert.equal((await owner(undefined, { SUDO_USER: "nobody" })).name, "nobody");
  const { metadata } = wanted();
  checkOwner(undefined, { uid: 1 });
  checkOwner(metadata, { uid });
  assert.throws(() => checkOwner(metadata, { uid: 1 }), { code: "system_owned" });
});

test("a damaged installation is named, with the way out", () => {
  mkdirSync(host.places.base);
  for (const text of ["{", "{}", metadataText(wanted().metadata).replace("br-fc", "eth0")]) {
    writeFileSync(host.places.metadata, text);
    assert.throws(installed, { code: "system_damaged" });
  }
});

test("what runs as root must be such that root alone can have written it, where the services see it", () => {
  const open = () => {
    throw new Error("nothing is opened of what lies in the wrong place");
  };
  for (const tree of ["/home/ann/banger", "/tmp/banger", "/root/banger", "/usr/lib/a b", "/usr/lib/%h"])
    assert.throws(() => checkPrograms({ ...programs, tree }, open), { code: "program_untrusted" }, tree);
  const tree = join(prefix, "tree");
  const own = process.getuid?.() ?? 0;
  mkdirSync(join(tree, "dist"), { recursive: true });
  writeFileSync(join(tree, "dist", "main.js"), "", { mode: 0o644 });
  symlinkSync("main.js", join(tree, "dist", "link.js"));
  assert.equal(firstForeign(tree, tree, own), undefined);
  assert.match(firstForeign(tree, tree, own + 1) ?? "", /belongs to uid/);
  symlinkSync("/etc/passwd", join(tree, "out"));
  assert.match(firstForeign(tree, tree, own) ?? "", /leads out of/);
  rmSync(join(tree, "out"));
  chmodSync(join(tree, "dist"), 0o775);
  assert.match(firstForeign(tree, tree, own) ?? "", /can be written by others/);
});

/** A program that says this when it is asked for its version. */
function program(name: string, says: string): string {
  const path = join(prefix, "bin", name);
  writeFileSync(path, `#!/bin/sh\necho '${says}'\n`);
  chmodSync(path, 0o755);
  return path;
}

test("Firecracker is taken where it is new enough and root's, and missed only where it is asked for", async () => {
  const path = `${prefix}/bin`;
  const find = (vmm: "auto" | "qemu" | "firecracker", trust: (path: string) => void = () => {}) =>
    vmmPrograms(host, { vmm, firecrackerBin: "firecracker-x", jailerBin: "jailer-x" }, path, trust);
  const none = { firecracker: null, jailer: null };
  assert.deepEqual(await find("auto"), none);
  await assert.rejects(find("firecracker"), { code: "firecracker_missing" });
  const firecracker = program("firecracker-x", "Firecracker v1.9.1");
  const jailer = program("jailer-x", "Jailer v1.16.1");
  await assert.rejects(find("firecracker"), { code: "firecracker_unusable", message: /older than 1\.10/ });
  program("firecracker-x", "Firecracker v1.16.1");
  assert.deepEqual(await find("firecracker"), { firecracker, jailer });
  assert.deepEqual(await find("auto"), { firecracker, jailer });
  assert.deepEqual(await find("qemu"), none);
  const distrust = () => {
    throw new BangerError("program_untrusted", "it is yours");
  };
  assert.deepEqual(await find("auto", distrust), none);
  await assert.rejects(find("firecracker", distrust), { code: "program_untrusted" });
});

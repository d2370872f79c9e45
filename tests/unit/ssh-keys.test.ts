/** SSH identities of a home, made by the real ssh-keygen. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, describe, test } from "node:test";
import { sshKeys } from "../../src/effects/seed/ssh-keys.js";
import { type Home, homeHandles, vmHandles } from "../../src/home/handles.js";
import { toolRunner } from "../../src/host/run-tool.js";

const root = mkdtempSync(`${tmpdir()}/banger-keys-`);
const home: Home = { state: `${root}/s`, data: "", cache: "", config: "", runtime: "" };
const keys = sshKeys(home, toolRunner(process.env["PATH"] ?? ""), null);
const signal = new AbortController().signal;
const { sshKey, knownHosts } = homeHandles(home);

describe("sshKeys", () => {
  after(() => rmSync(root, { recursive: true }));

  test("the home key is made once, even when many ask at the same time, and only its owner reads it", async () => {
    const answers = await Promise.all([1, 2, 3].map(() => keys.ensureHomeKey(signal)));
    assert.equal(new Set(answers).size, 1);
    assert.match(answers[0] ?? "", /^ssh-ed25519 \S+ banger$/m);
    assert.equal(statSync(sshKey).mode & 0o777, 0o600);
    assert.equal(await keys.ensureHomeKey(signal), answers[0]);
  });

  test("a lost public half is derived from the private one", async () => {
    const before = (await keys.ensureHomeKey(signal)).split(" ")[1];
    rmSync(`${sshKey}.pub`);
    assert.equal((await keys.ensureHomeKey(signal)).split(" ")[1], before);
  });

  test("known_hosts pins each VM's key under its alias and forgets VMs that are gone", async () => {
    for (const id of ["00000002", "00000001"]) {
      mkdirSync(vmHandles(home, id).directory, { recursive: true });
      await keys.ensureHostKey(id, `box-${id}.vm`, signal);
    }
    mkdirSync(`${homeHandles(home).vms}/not-a-vm`);
    await keys.refreshKnownHosts();
    const lines = readFileSync(knownHosts, "utf8").trim().split("\n");
    assert.deepEqual(
      lines.map((line) => line.split(" ")[0]),
      ["00000001.banger,box-00000001.vm", "00000002.banger,box-00000002.vm"],
    );
    const key = readFileSync(`${vmHandles(home, "00000001").hostKey}.pub`, "utf8").split(" ")[1];
    assert.equal(lines[0]?.split(" ")[2], key);
    rmSync(vmHandles(home, "00000001").directory, { recursive: true });
    writeFileSync(knownHosts, "garbage");
    await keys.refreshKnownHosts();
    assert.match(readFileSync(knownHosts, "utf8"), /^00000002\.banger,box-00000002\.vm ssh-ed25519 \S+\n$/);
  });

  test("a missing ssh-keygen is named with its package", async () => {
    const without = sshKeys({ ...home, state: `${root}/t` }, toolRunner("/nonexistent"), null);
    await assert.rejects(without.ensureHomeKey(signal), { code: "tool_missing", hint: /openssh-client/ });
  });
});

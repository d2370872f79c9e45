/** KVM counts only where it can run a guest. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, test } from "node:test";
import { kvmState } from "../../src/effects/kvm.js";

const root = mkdtempSync(`${tmpdir()}/banger-kvm-`);
after(() => rmSync(root, { recursive: true }));

/** The state on a host with these CPU flags, with a device that opens or without one. */
function stateWith(flags: string, device: boolean) {
  writeFileSync(`${root}/cpuinfo`, `processor\t: 0\nflags\t\t: fpu ${flags} sse\nbugs\t\t: vmx_nothing\n`);
  writeFileSync(`${root}/kvm`, "");
  return kvmState(device ? `${root}/kvm` : `${root}/none`, `${root}/cpuinfo`);
}

test("a device that opens is not enough: the CPU must have vmx or svm", () => {
  assert.equal(stateWith("vmx", true).usable, true);
  assert.equal(stateWith("svm", true).usable, true);
  const none = stateWith("svmx", true);
  assert.ok(!none.usable);
  assert.equal(none.why, "the CPU shows neither vmx nor svm");
  assert.match(none.mend, /firmware/);
});

test("a CPU that could is not enough: the device must open", () => {
  const state = stateWith("vmx", false);
  assert.match(state.usable ? "" : state.why, /ENOENT/);
});

/** KVM counts only where it can run a guest: on such a processor, with a device that really makes a VM. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, test } from "node:test";
import { accelerationOf, type KvmState, kvmState } from "../../src/host/kvm.js";

const root = mkdtempSync(`${tmpdir()}/banger-kvm-`);
after(() => rmSync(root, { recursive: true }));

/** The state on a host with these CPU flags and this device. */
function stateWith(flags: string, device: string): Promise<KvmState> {
  writeFileSync(`${root}/cpuinfo`, `processor\t: 0\nflags\t\t: fpu ${flags} sse\nbugs\t\t: vmx_nothing\n`);
  return kvmState(device, `${root}/cpuinfo`);
}

const why = (state: KvmState) => (state.usable ? "usable" : state.why);

test("without vmx or svm the device is not even tried", async () => {
  for (const flags of ["", "svmx", "hypervisor"]) {
    const state = await stateWith(flags, "/dev/kvm");
    assert.equal(why(state), "the CPU shows neither vmx nor svm");
    assert.ok(!state.usable);
    assert.match(state.hint, /firmware/);
  }
});

test("with either it is the device that tells: one that is missing, forbidden or no KVM is not used", async () => {
  for (const flags of ["vmx", "svm"]) {
    assert.match(why(await stateWith(flags, `${root}/none`)), /none: No such file/);
    assert.equal(why(await stateWith(flags, "/dev/null")), "/dev/null is not a KVM of version 12");
    const plain = `${root}/plain`;
    writeFileSync(plain, "");
    assert.match(why(await stateWith(flags, plain)), /plain is not a KVM/);
    assert.match(why(await stateWith(flags, root)), /Is a directory/);
  }
});

test("what is configured decides, and what is usable where that is auto", async () => {
  const usable = async () => ({ usable: true }) as const;
  const refused = async () =>
    ({ usable: false, why: "/dev/kvm makes no VM: Device busy", hint: "lsmod" }) as const;
  assert.deepEqual(await accelerationOf("auto", usable), { accelerator: "kvm", why: null });
  assert.deepEqual(await accelerationOf("auto", refused), {
    accelerator: "tcg",
    why: "/dev/kvm makes no VM: Device busy",
  });
  assert.deepEqual(await accelerationOf("kvm", usable), { accelerator: "kvm", why: null });
  await assert.rejects(accelerationOf("kvm", refused), {
    code: "kvm_unusable",
    message: /busy/,
    hint: "lsmod",
  });
  assert.equal((await accelerationOf("tcg", usable)).accelerator, "tcg");
});

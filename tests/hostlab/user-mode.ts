/** User mode in the lab, whose KVM is nested: as an ordinary user, who comes to have it, and as root. */
import assert from "node:assert/strict";
import type { VmView } from "../../src/contract.js";
import type { DaemonView } from "../../src/contract-daemon.js";
import type { Lab } from "./lab.js";

type Step = (name: string, body: () => Promise<void>) => void;

export function userModeSteps(step: Step, lab: () => Lab, size: string): void {
  step("in user mode an ordinary user has KVM as soon as the device is theirs", async () => {
    const userDaemon = async () =>
      JSON.parse((await lab().inUserMode("ann", "daemon status --json")).stdout) as DaemonView;
    await lab().inUserMode("ann", "vm list");
    const { accelerator, notKvm } = await userDaemon();
    assert.equal(accelerator, "tcg");
    assert.match(notKvm ?? "", /kvm: Permission denied/);
    await lab().ok("usermod -aG kvm ann");
    const { stdout } = await lab().inUserMode("ann", "doctor");
    assert.match(stdout, /^warn +kvm .*the running daemon cannot: .*denied.*\n.*banger daemon stop$/m);
    await lab().inUserMode("ann", "daemon stop");
    await runsOnKvm(lab(), size, "ann");
    // Each start looks anew, under a daemon that goes on.
    await lab().ok("mv /dev/kvm /dev/kvm.away");
    assert.match((await userDaemon()).notKvm ?? "", /kvm: No such file/);
    await lab().ok("mv /dev/kvm.away /dev/kvm");
    assert.equal((await userDaemon()).accelerator, "kvm");
    await lab().inUserMode("ann", "daemon stop");
  });

  step("in user mode root has KVM too, and its QEMU none of root's capabilities", async () => {
    await runsOnKvm(lab(), size, "root");
    await lab().inUserMode("root", "daemon stop");
  });
}

/** A confined QEMU runs a guest on the (emulated) processor's own virtualization. */
async function runsOnKvm(lab: Lab, size: string, user: string): Promise<void> {
  const banger = async (words: string) => {
    const { status, stdout, stderr } = await lab.inUserMode(user, words);
    assert.equal(status, 0, `${stdout}${stderr}`);
    return stdout;
  };
  await banger(`vm run -d --name box ${size}`);
  const { accelerator, pid } = JSON.parse(await banger("vm show box --json")) as VmView;
  assert.equal(accelerator, "kvm");
  assert.equal(await banger("vm exec box -- uname -s"), "Linux\n");
  const status = await lab.ok(`cat /proc/${pid}/status`);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, user === "root" ? /^CapEff:\t0000000000000400$/m : /^CapEff:\t0+$/m);
  await banger("vm delete box");
}

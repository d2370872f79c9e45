/** User mode in the lab, whose KVM is nested: as an ordinary user, who comes to have it, and as root. */
import assert from "node:assert/strict";
import type { VmView } from "../../src/contract/contract.js";
import type { DaemonView } from "../../src/contract/daemon.js";
import { until } from "../e2e/harness.js";
import type { Lab } from "./lab.js";
import { stepsInLab } from "./steps.js";

let lab: Lab;
const step = stepsInLab((booted) => {
  lab = booted;
});

const size = "--vcpu 1 --memory 384M --disk-size 256M";
const users = ["ann", "root"] as const;
type User = (typeof users)[number];

async function bangerOk(user: User, words: string): Promise<string> {
  const { status, stdout, stderr } = await lab.inUserMode(user, words);
  assert.equal(status, 0, `banger ${words}\nended with ${status}\n${stdout}${stderr}`);
  return stdout;
}
const bangerJson = async <T>(user: User, words: string): Promise<T> =>
  JSON.parse(await bangerOk(user, `${words} --json`)) as T;
const daemonOf = (user: User) => bangerJson<DaemonView>(user, "daemon status");

/** A lab without hardware of its own may take longer than a client waits for the daemon that it has started. */
const serves = (user: User) =>
  until(
    `${user}'s daemon serves`,
    async () => (await lab.inUserMode(user, "vm list")).status === 0,
    5 * 60_000,
  );

/** A confined QEMU runs a guest on the (emulated) processor's own virtualization. */
async function runsOnKvm(user: User): Promise<void> {
  await bangerOk(user, `vm run -d --name box ${size}`);
  const { id, accelerator, pid } = await bangerJson<VmView>(user, "vm show box");
  assert.equal(accelerator, "kvm");
  assert.equal(await bangerOk(user, "vm exec box -- uname -s"), "Linux\n");
  const status = await lab.ok(`cat /proc/${pid}/status`);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, user === "root" ? /^CapEff:\t0000000000000400$/m : /^CapEff:\t0+$/m);
  assert.match(
    await lab.ok(`cat ${lab.stateOf(user)}/vms/${id}/vmm.log`),
    new RegExp(`${lab.homeOf(user)}/secret: Permission denied`),
    "QEMU's wrapper could read the secret, or did not try",
  );
  await bangerOk(user, "vm delete box");
}

step("the tree runs in user mode, with a QEMU that first looks at a file of its user's", async () => {
  await lab.installTree();
  for (const user of users) {
    await lab.giveImages(user);
    await lab.ok(`cd ${lab.homeOf(user)}; echo secret >secret; mkdir -p .config/banger
      echo 'qemu_bin = "/usr/local/bin/curious-qemu"' >.config/banger/config.toml; chown -R ${user}: .config secret`);
  }
  const homes = users.map((user) => `${lab.homeOf(user)}/secret`).join(" ");
  await lab.ok(`printf '#!/bin/sh\\ncat ${homes} >&2\\nexec qemu-system-x86_64 "$@"\\n' >/usr/local/bin/curious-qemu
    chmod 755 /usr/local/bin/curious-qemu; modprobe kvm-amd; test -c /dev/kvm`);
});

step("an ordinary user is told why there is no KVM, and what to do once the device is theirs", async () => {
  await serves("ann");
  const { accelerator, notKvm } = await daemonOf("ann");
  assert.equal(accelerator, "tcg");
  assert.match(notKvm ?? "", /kvm: Permission denied/);
  await lab.ok("usermod -aG kvm ann");
  const { stdout } = await lab.inUserMode("ann", "doctor");
  assert.match(stdout, /^warn +kvm .*the running daemon cannot: .*denied.*\n.*banger daemon stop$/m);
  await bangerOk("ann", "daemon stop");
});

step("a daemon that was started with the group runs guests on KVM, confined", async () => {
  await serves("ann");
  await runsOnKvm("ann");
});

step("each start looks anew, under a daemon that goes on", async () => {
  await lab.ok("mv /dev/kvm /dev/kvm.away");
  assert.match((await daemonOf("ann")).notKvm ?? "", /kvm: No such file/);
  // A device that opens and then refuses: what is asked for is not of its kind.
  await lab.ok("mknod -m 666 /dev/kvm c 1 3");
  const { accelerator, notKvm } = await daemonOf("ann");
  assert.deepEqual([accelerator, notKvm], ["tcg", "/dev/kvm is not a KVM of version 12"]);
  const started = lab.inUserMode("ann", `vm run -d --name soft ${size}`);
  await until("a guest is started in software", async () => {
    const seen = await lab.inUserMode("ann", "vm show soft --json");
    return seen.status === 0 && (JSON.parse(seen.stdout) as VmView).accelerator === "tcg";
  });
  assert.match(await bangerOk("ann", "vm show soft"), /accelerator +tcg.*not a KVM of version 12/);
  await bangerOk("ann", "vm delete soft");
  await started;
  await lab.ok("rm /dev/kvm; mv /dev/kvm.away /dev/kvm");
  await runsOnKvm("ann");
  await bangerOk("ann", "daemon stop");
});

step("what is configured counts: software with a KVM at hand, and no start without it", async () => {
  const config = `${lab.homeOf("ann")}/.config/banger/config.toml`;
  await lab.ok(`echo 'accelerator = "tcg"' >>${config}`);
  await serves("ann");
  assert.equal((await daemonOf("ann")).accelerator, "tcg");
  await bangerOk("ann", "daemon stop");
  await lab.ok(`sed -i s/tcg/kvm/ ${config}; mv /dev/kvm /dev/kvm.away`);
  await serves("ann");
  const refused = await lab.inUserMode("ann", `vm run -d --name never ${size}`);
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /accelerator = "kvm" is configured.* KVM cannot be used: .*No such file/);
  await lab.ok("mv /dev/kvm.away /dev/kvm");
  await bangerOk("ann", "vm delete never");
  await runsOnKvm("ann");
  await bangerOk("ann", "daemon stop");
});

step("root has KVM too, and its QEMU none of root's capabilities", async () => {
  await serves("root");
  await runsOnKvm("root");
  await bangerOk("root", "daemon stop");
});

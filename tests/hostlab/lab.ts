/** The lab: a Debian host in a VM of banger's own, with nested KVM, in which banger is installed and may be broken. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Ended, program, type RunOptions, sharedData, TestHome, until } from "../e2e/harness.js";
import { labImage } from "./image.js";

const run = promisify(execFile);
const checkout = new URL("../../../", import.meta.url).pathname;

/** The user for whom system mode is installed in the lab; see customize.sh. */
const owner = "ann";

/** banger's QEMU command line, with nested virtualization for its guest. */
const qemuWithSvm = `#!/bin/sh
for argument; do
  shift
  case $argument in max,*) argument=$argument,svm=on ;; esac
  set -- "$@" "$argument"
done
exec qemu-system-x86_64 "$@"
`;

/** That user's XDG_DATA_HOME: on the root disk, as the images that came with the lab; /root is a small disk of its own. */
const dataOf = (user: string): string => `/var/lib/data-of-${user}`;

export class Lab {
  private constructor(private readonly home: TestHome) {}

  /** A directory of the host that goes with the lab. */
  get scratch(): string {
    return this.home.root;
  }

  homeOf(user: string): string {
    return user === "root" ? "/root" : `/home/${user}`;
  }

  /** Where that user's banger has its VMs in user mode. */
  stateOf(user: string): string {
    return `${this.homeOf(user)}/.local/state/banger`;
  }

  /** Boots a new lab of one processor; the first one on a machine builds its image, which takes a minute or two. */
  static async boot(): Promise<Lab> {
    const home = new TestHome();
    const lab = new Lab(home);
    try {
      await lab.create();
    } catch (error) {
      await home.dispose();
      throw error;
    }
    return lab;
  }

  private async create(): Promise<void> {
    const { home } = this;
    const qemu = join(home.root, "qemu");
    writeFileSync(qemu, qemuWithSvm);
    chmodSync(qemu, 0o755);
    mkdirSync(home.home.config, { recursive: true });
    writeFileSync(join(home.home.config, "config.toml"), `qemu_bin = "${qemu}"\ndns_listen = "off"\n`);
    const pulled = await home.run(["image", "pull", "debian-slim", "--quiet"], { timeoutMs: 600_000 });
    assert.equal(pulled.status, 0, pulled.stderr);
    const guest = join(sharedData, "banger/images", pulled.stdout.trim());
    const image = await labImage(join(sharedData, "hostlab"), guest, AbortSignal.timeout(600_000));
    const files = ["--rootfs", image.rootfs, "--kernel", image.kernel, "--initrd", image.modules];
    const registered = await home.ok("image", "register", "--name", "hostlab", "--quiet", ...files);
    const size = ["--vcpu", "1", "--memory", "4G", "--disk-size", "1G"];
    await home.ok("vm", "run", "-d", "--name", "lab", "--image", registered.trim(), ...size);
    await this.settled();
  }

  /** Everything that comes up with the machine has come up. The agent answers before there is an init to ask. */
  private async settled(): Promise<void> {
    let state = "";
    await until("the lab's systemd is done with the boot", async () => {
      state = (await this.root("systemctl is-system-running --wait; systemctl --failed --plain --no-legend"))
        .stdout;
      return !/^(offline|unknown|)$/m.test(state.split("\n", 1)[0] ?? "");
    });
    assert.equal(state, "running\n");
  }

  /** Runs a shell script as root. */
  root(script: string, options: RunOptions = {}): Promise<Ended> {
    const words = ["vm", "exec", "lab", "--", "bash", "-c", script];
    return this.home.run(words, { timeoutMs: 300_000, ...options });
  }

  /** Runs a script that must succeed; yields what it printed. */
  async ok(script: string, options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.root(script, options);
    assert.equal(status, 0, `in the lab, ${script}\nended with ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Runs `banger …` as the owner. Words are the shell's: quote what it should not see. */
  banger(words: string, options: RunOptions = {}): Promise<Ended> {
    return this.root(
      `exec runuser -u ${owner} -- env HOME=/home/${owner} NO_COLOR=1 banger ${words}`,
      options,
    );
  }

  /** Runs `banger …` in user mode, in the home of that user. */
  inUserMode(user: string, words: string, options: RunOptions = {}): Promise<Ended> {
    const environment = `HOME=${this.homeOf(user)} XDG_DATA_HOME=${dataOf(user)} BANGER_MODE=user NO_COLOR=1`;
    return this.root(`exec runuser -u ${user} -- env ${environment} banger ${words}`, options);
  }

  async bangerOk(words: string, options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.banger(words, options);
    assert.equal(status, 0, `banger ${words}\nended with ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  async bangerJson<T>(words: string): Promise<T> {
    return JSON.parse(await this.bangerOk(`${words} --json`)) as T;
  }

  /** Unpacks into the lab's `target` what `tar` with these arguments packs here. */
  async copyIn(target: string, tarArguments: readonly string[]): Promise<void> {
    const script = 'tar -c "${@:3}" | "$1" vm exec lab -- tar -x --no-same-owner -C "$2"';
    const argv = ["-o", "pipefail", "-c", script, "bash", program, target, ...tarArguments];
    await run("bash", argv, { env: this.home.env, timeout: 300_000 });
  }

  /** What `make install` installs here, and the Node that runs this test, below the lab's /usr/local. */
  async installTree(): Promise<void> {
    const scratch = mkdtempSync(join(this.home.root, "install-"));
    // Built it is already; building again would be another tree than the one under test.
    await run("make", ["-s", "-o", "build", "-C", checkout, "install", `DESTDIR=${scratch}`]);
    // /usr itself stays as it is: a newer one would have systemd look for accounts to make at the next boot.
    await this.copyIn("/", ["-C", scratch, "usr/local"]);
    await this.copyIn("/usr/local/bin", ["-h", "-C", join(process.execPath, ".."), "node"]);
    rmSync(scratch, { recursive: true });
  }

  /**
   * Puts the images that came with the lab where that user's banger has its own. The files are the same ones, which
   * everybody may read: copies would take the lab most of a minute.
   */
  async giveImages(user: string): Promise<void> {
    const images = `${dataOf(user)}/banger/images`;
    await this.ok(`set -e; install -d -o ${user} ${dataOf(user)} ${dataOf(user)}/banger ${images}
      cp -al /opt/guest-images/* ${images}/; chmod -R a+rX ${images}; chown ${user}: ${images}/*`);
  }

  /** The power is cut, and comes back. */
  async cutPower(): Promise<void> {
    await this.home.ok("vm", "kill", "lab");
    await this.home.ok("vm", "start", "lab");
    await this.settled();
  }

  /** What services (calls of the helper that went well left out), VMs and the kernel said last: for a failed test. */
  async lastWords(): Promise<string> {
    const states = ["/var/lib/banger/state", this.stateOf(owner), this.stateOf("root")];
    const logs = states.flatMap((state) =>
      ["daemon.log", "vms/*/vmm.log", "vms/*/console.log"].map((log) => `${state}/${log}`),
    );
    const { stdout: services } = await this.root(`
    journalctl --boot --no-pager --output short-monotonic --unit 'banger*' | grep -v '"verdict":"done"' | tail -n 60
    tail -n 10 ${logs.join(" ")} 2>/dev/null; dmesg | tail -n 20`);
    const { stdout: events } = await this.banger("events --json | tail -n 40");
    return services + events;
  }

  dispose(): Promise<void> {
    return this.home.dispose();
  }
}

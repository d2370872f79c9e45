/** A real guest on a tap: QEMU as the installation's owner runs it, and commands in it through its agent. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { Metadata } from "../../helper/metadata.js";
import { hostTscKHz } from "../../src/effects/vmm/qemu/argv.js";
import { qemuDial } from "../../src/effects/vmm/qemu/dial.js";
import { AgentClient } from "../../src/guest/agent.js";
import { ExecClient } from "../../src/guest/exec-stream.js";
import { vmHandles } from "../../src/home/handles.js";
import { systemClock } from "../../src/lib/clock.js";

export interface Boot {
  metadata: Metadata;
  vmId: string;
  address: string;
  /** The owner can read both. */
  kernel: string;
  initrd: string;
  /** The image's root disk, which only root can read: QEMU is given it open, and keeps what the guest writes apart. */
  rootfs: string;
}

export interface Ran {
  code: number;
  stdout: string;
}

function argvOf({ metadata, vmId, address, kernel, initrd }: Boot): string[] {
  const { tap, mac, agentSocket, consoleLog } = vmHandles(metadata.home, vmId);
  const { address: gateway, prefixLength } = metadata.network;
  const tscKHz = hostTscKHz(readFileSync("/proc/cpuinfo", "utf8"));
  const clock = tscKHz === undefined ? "" : `tsc_early_khz=${tscKHz} tsc=reliable `;
  const append =
    `console=ttyS0 quiet panic=-1 pci=off reboot=t mitigations=off ${clock}banger.root=root ` +
    `banger.ip=${address}/${prefixLength} banger.gw=${gateway} banger.dns=192.0.2.9`;
  return [
    ...["-M", "microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,pcie=off,usb=off"],
    ...["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off", "-smp", "1", "-m", "256M"],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-kernel", kernel, "-initrd", initrd, "-append", append],
    ...["-chardev", `file,id=console,path=${consoleLog}`, "-serial", "chardev:console"],
    ...["-device", "virtio-serial-device,max_ports=2"],
    ...["-chardev", `socket,id=agent,path=${agentSocket},server=on,wait=off`],
    ...["-device", "virtserialport,chardev=agent,name=banger.agent"],
    ...["-add-fd", "fd=3,set=1", "-drive", "if=none,id=root,format=raw,file=/dev/fdset/1,snapshot=on"],
    ...["-device", "virtio-blk-device,drive=root,serial=root"],
    ...["-netdev", `tap,id=net0,ifname=${tap},script=no,downscript=no`],
    ...["-device", `virtio-net-device,netdev=net0,mac=${mac}`],
  ];
}

export class TapGuest {
  readonly #qemu: ChildProcess;
  readonly #ended: Promise<string>;
  #agent: AgentClient | undefined;

  /** The tap is there, and the VM's directories are the owner's. */
  constructor(readonly boot: Boot) {
    const { uid, gid } = boot.metadata.owner;
    const rootfs = openSync(boot.rootfs, "r");
    const env = {
      PATH: process.env["PATH"] ?? "",
      TMPDIR: vmHandles(boot.metadata.home, boot.vmId).directory,
    };
    const stdio: ["ignore", "ignore", "pipe", number] = ["ignore", "ignore", "pipe", rootfs];
    this.#qemu = spawn("qemu-system-x86_64", argvOf(boot), { uid, gid, env, stdio });
    closeSync(rootfs);
    let said = "";
    this.#qemu.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    this.#ended = new Promise((resolve, reject) => {
      this.#qemu.on("error", reject).on("close", () => resolve(said));
    });
  }

  get address(): string {
    return this.boot.address;
  }

  /** Waits through the guest's boot. @throws Error with QEMU's words if it ends before */
  async arrives(signal: AbortSignal): Promise<void> {
    const { metadata, vmId } = this.boot;
    let over = false;
    const dead = this.#ended.then((said) => {
      over = true;
      const { consoleLog } = vmHandles(metadata.home, vmId);
      throw new Error(`QEMU ended: ${said}${existsSync(consoleLog) ? readFileSync(consoleLog, "utf8") : ""}`);
    });
    const dial = async (): Promise<AgentClient> => {
      while (!over) {
        signal.throwIfAborted();
        try {
          const line = await qemuDial(metadata.home, systemClock)(vmId, signal);
          return new AgentClient(() => line.open());
        } catch {
          await pause(50);
        }
      }
      return dead;
    };
    this.#agent = await Promise.race([dial(), dead]);
  }

  /** Runs a shell script as root in the guest; yields what it printed. */
  async sh(script: string): Promise<Ran> {
    if (this.#agent === undefined) throw new Error("the guest has not arrived");
    const chunks: Buffer[] = [];
    const out = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk);
        done();
      },
    });
    const stream = await this.#agent.exec({ argv: ["/bin/sh", "-c", script], cwd: "/" });
    const result = await new ExecClient(stream, { stdout: out, stderr: out }).result;
    return { code: "code" in result ? result.code : 128, stdout: Buffer.concat(chunks).toString("utf8") };
  }

  async ends(): Promise<void> {
    this.#qemu.kill("SIGKILL");
    await this.#ended;
  }
}

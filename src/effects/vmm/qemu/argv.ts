/** Pure: the QEMU command line of a VM. docs/boot.md has the measurement behind each choice. */
import { runtimeFiles, type VmHandles } from "../../../home/handles.js";
import type { VmSpec } from "../../../model/model.js";
import { type GuestNetwork, kernelArguments } from "../kernel-arguments.js";

/** The root disk: an overlay of the image's, or what is as it is, be it a file or a device. */
export interface RootDisk {
  format: "qcow2" | "raw";
  path: string;
}

/** What serves the guest's frames: a network process, or a tap that is already there. */
export type QemuNetwork = { kind: "process" } | { kind: "tap"; guest: GuestNetwork };

export interface QemuMachine {
  root: RootDisk;
  network: QemuNetwork;
  handles: VmHandles;
  spec: VmSpec;
  accelerator: "kvm" | "tcg";
  /** Frequency of the host's time stamp counter in kHz, see `hostTscKHz`; undefined where the host does not say. */
  tscKHz: number | undefined;
  /** ELF kernel with a PVH entry. */
  kernel: string;
  initrd: string;
  /** The kernel arguments that the image itself asks for. */
  bootArguments: string;
}

/** The guest's side of a network process, the same in every VM; helper/net/net.h has it too. */
const processNetwork: GuestNetwork = {
  address: "10.0.2.15",
  prefixLength: 24,
  gateway: "10.0.2.2",
  dns: "10.0.2.3",
};

/** A value inside a QEMU option list, where a comma would start the next option. */
const quoted = (value: string): string => value.replaceAll(",", ",,");

/**
 * The frequency (kHz) of the time stamp counter, from /proc/cpuinfo: bogomips is twice its MHz on every CPU with a
 * counter of constant rate. "cpu MHz" is not it: that one follows the governor.
 */
export function hostTscKHz(cpuinfo: string): number | undefined {
  const bogomips = /^bogomips\s*:\s*([\d.]+)$/m.exec(cpuinfo)?.[1];
  const kHz = bogomips === undefined ? Number.NaN : Math.round(Number(bogomips) * 500);
  return Number.isFinite(kHz) && kHz > 0 ? kHz : undefined;
}

/** An emulated CPU has no clock to calibrate the counter against, nor any speculation to guard against. */
function emulationArguments(tscKHz: number | undefined): string {
  return tscKHz === undefined ? "mitigations=off" : `tsc_early_khz=${tscKHz} tsc=reliable mitigations=off`;
}

function bootOf({ accelerator, tscKHz, bootArguments, network }: QemuMachine): string {
  return kernelArguments({
    machine: ["reboot=t", ...(accelerator === "tcg" ? [emulationArguments(tscKHz)] : [])],
    bootArguments,
    disks: { root: "root", work: "work", seed: "seed" },
    network: network.kind === "tap" ? network.guest : processNetwork,
  });
}

/** The guest finds each disk by its serial. Flushes reach the host's disk; blocks that the guest frees are given back. */
function disk(serial: string, format: "qcow2" | "raw", path: string, options: string): string[] {
  return [
    "-drive",
    `if=none,id=${serial},format=${format},file=${quoted(path)},${options}`,
    "-device",
    `virtio-blk-device,drive=${serial},serial=${serial}`,
  ];
}

/** With packets as large as this a network process moves twice as much as with those of Ethernet. */
const processMtu = 32_000;

/** Datagrams never make QEMU wait for the process, nor end with it: docs/network-process.md. */
function networkInterface({ network, handles }: QemuMachine): string[] {
  const device = `virtio-net-device,netdev=net0,mac=${handles.mac}`;
  if (network.kind === "tap")
    return ["-netdev", `tap,id=net0,ifname=${handles.tap},script=no,downscript=no`, "-device", device];
  const { netSocket, netQemuSocket } = runtimeFiles;
  const ours = `local.type=unix,local.path=${netQemuSocket}`;
  return [
    ...["-netdev", `dgram,id=net0,${ours},remote.type=unix,remote.path=${netSocket}`],
    ...["-device", `${device},host_mtu=${processMtu}`],
  ];
}

/** Arguments without the program. */
export function qemuArgv(machine: QemuMachine): string[] {
  const { handles, spec, accelerator } = machine;
  // A full host disk is not an error of the guest's disk: the guest is paused until there is space.
  const writable = "cache=writeback,discard=unmap,werror=enospc";
  const listening = "server=on,wait=off";
  return [
    ...["-name", `guest=${handles.guestName}`],
    // The old timer is there for a guest that finds the APIC's too slow, which it does for ever when this process had no
    // turn while the guest measured it: without another one its time would stop.
    ...["-M", "microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,pcie=off,usb=off"],
    ...["-accel", accelerator === "kvm" ? "kvm" : "tcg,thread=multi,tb-size=256"],
    ...["-cpu", accelerator === "kvm" ? "host" : "max,la57=off"],
    ...["-smp", `${spec.vcpu}`, "-m", `${spec.memoryMiB}M`],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-kernel", machine.kernel, "-initrd", machine.initrd, "-append", bootOf(machine)],
    // Its standard output, which is the console's log by way of who keeps that short: see launch.ts.
    ...["-chardev", "file,id=console,path=/proc/self/fd/1"],
    ...["-serial", "chardev:console"],
    // Tells a panic from a reboot.
    ...["-device", "pvpanic"],
    ...["-chardev", `socket,id=qmp,path=${runtimeFiles.qmpSocket},${listening}`],
    ...["-mon", "chardev=qmp,mode=control"],
    ...["-device", "virtio-serial-device,max_ports=2"],
    ...["-chardev", `socket,id=agent,path=${runtimeFiles.agentSocket},${listening}`],
    ...["-device", "virtserialport,chardev=agent,name=banger.agent"],
    ...disk("root", machine.root.format, machine.root.path, writable),
    ...disk("work", "raw", handles.workDisk, writable),
    ...disk("seed", "raw", handles.seed, "readonly=on"),
    ...networkInterface(machine),
  ];
}

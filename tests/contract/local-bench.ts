/** A bench on this host: real files and real QEMU processes, of a machine that has no CPU running. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { assembleWorld } from "../../src/daemon/assembly.js";
import { type ModeParts, userParts } from "../../src/daemon/mode-user.js";
import type { GuestAgent } from "../../src/effects/agent/links.js";
import type { VmmDriverOptions } from "../../src/effects/vmm/driver.js";
import { scanProcesses } from "../../src/effects/vmm/processes.js";
import type { Launch } from "../../src/effects/vmm/qemu/launch.js";
import { qemuVmm } from "../../src/effects/vmm/qemu/qemu.js";
import type { AgentLine, Vmm } from "../../src/effects/vmm/vmm.js";
import { type AddressRange, addressAt, loopbackRange } from "../../src/home/addresses.js";
import { type Home, imageHandles, type VmHandles, vmHandles } from "../../src/home/handles.js";
import { toolEnvironment, toolRunner } from "../../src/host/run-tool.js";
import type { ImageMaker } from "../../src/images/store.js";
import { systemClock } from "../../src/lib/clock.js";
import type { ImageId, VmId } from "../../src/model/model.js";
import type { Bench, HelperBench } from "./actor.js";

const readyImage = "ready-00000001";
const buildableImage = { id: "buildable-00000002", name: "buildable" };

function temporaryHome(): Home {
  const root = mkdtempSync(`${tmpdir()}/banger-contract-`);
  const at = (name: string) => `${root}/${name}`;
  return {
    state: at("state"),
    data: at("data"),
    cache: at("cache"),
    config: at("config"),
    runtime: at("run"),
  };
}

/** QEMU as it is started for a VM, but for a machine without CPU, memory or guest. */
function launch(handles: VmHandles, mode: BenchMode, images: string): Launch {
  const { guestName, qmpSocket, workDisk, directory, runtime } = handles;
  const [root, card] = [mode.root(handles), mode.card(handles)];
  return {
    file: "qemu-system-x86_64",
    offline: card.startsWith("dgram"),
    read: [images],
    write: [directory, runtime, "/dev/net/tun"],
    argv: [
      ...["-M", "none", "-nodefaults", "-display", "none", "-S", "-name", `guest=${guestName}`],
      ...["-qmp", `unix:${qmpSocket},server=on,wait=off`, "-netdev", card],
      ...["-drive", `if=none,id=work,format=raw,file=${workDisk}`],
      ...["-drive", `if=none,id=root,${root}`],
    ],
  };
}

/** An image with nothing in it: what the contract needs is that it is there whole or not at all. */
function emptyImages(home: Home): ImageMaker & { make: (id: ImageId) => void } {
  const there = { is: "present", sizeBytes: 1 << 20, damage: null } as const;
  const make = (id: ImageId) => {
    const { partial, directory } = imageHandles(home, id);
    mkdirSync(partial, { recursive: true });
    writeFileSync(`${partial}/rootfs.ext4`, Buffer.alloc(1 << 20));
    renameSync(partial, directory);
  };
  return {
    make,
    build: async ({ imageId }) => make(imageId),
    inspect: (id) => (existsSync(imageHandles(home, id).directory) ? there : { is: "absent" }),
    lookAtPartial: () => ({ building: false, elsewhere: false }),
    removePartial: async (id) => rmSync(imageHandles(home, id).partial, { recursive: true, force: true }),
  };
}

/** An agent that answers from the first moment and whose guest runs an sshd. */
function instantAgent(canGrow: () => boolean): { line: AgentLine; client: GuestAgent } {
  let close = () => {};
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  const client: GuestAgent = {
    // What is sent comes back.
    connect: async () => new PassThrough(),
    health: async () => ({ agent: "0", uptimeMs: 0, unixMs: Date.now(), init: "up" }),
    watchHealth: () => closed,
    addToClock: async () => {},
    watchPorts: (tell) => {
      const address = "0.0.0.0";
      const sshd = { proto: "tcp", address, port: 22, pid: 1, process: "sshd", command: "sshd -D" } as const;
      // There is no next list that would have to wait, and a link that ends is no fault.
      tell([sshd]).catch(() => {});
      return closed;
    },
    shutdown: async () => {},
    run: async () => (canGrow() ? 0 : 127),
  };
  return { client, line: { open: () => new PassThrough(), closed, close } };
}

/** The arguments of a QEMU. */
type Machine = (handles: VmHandles) => string[];
type Vmms = Pick<VmmDriverOptions, "vmms" | "starts">;

/** What of a world is its mode's. */
export interface BenchMode {
  addresses: AddressRange;
  parts(home: Home): ModeParts;
  /** What a QEMU is given as root disk (-drive) and as network card (-netdev). */
  root(handles: VmHandles): string;
  card(handles: VmHandles): string;
  /** What there is beside QEMU, or instead of it. */
  vmms?(home: Home, qemu: Vmm): Vmms;
  helper?: HelperBench;
}

export const userMode = (): BenchMode => {
  const addresses = loopbackRange(128 + (process.pid % 100));
  return {
    addresses,
    parts: (home) =>
      userParts({
        ...{ home, clock: systemClock, qemuImg: "qemu-img", addresses },
        environment: toolEnvironment(process.env["PATH"] ?? ""),
      }),
    root: ({ rootDisk }) => `format=qcow2,file=${rootDisk}`,
    card: () =>
      "dgram,id=net0,local.type=unix,local.path=net-qemu.sock,remote.type=unix,remote.path=net.sock",
  };
};

/** QEMU and what the mode has beside it, with guests whose agents answer by `dial`. */
function vmmsOf(mode: BenchMode, home: Home, machine: Machine | undefined, dial: Vmm["dial"]): Vmms {
  const qemu = qemuVmm({
    ...{ home, clock: systemClock, environment: toolEnvironment(process.env["PATH"] ?? "") },
    launch: async ({ vmId }) => {
      const handles = vmHandles(home, vmId);
      const otherwise = launch(handles, mode, home.data);
      return machine === undefined ? otherwise : { ...otherwise, argv: machine(handles) };
    },
  });
  const { vmms, starts } = mode.vmms?.(home, qemu) ?? { vmms: [qemu], starts: qemu };
  const answering = (vmm: Vmm): Vmm => ({ ...vmm, dial });
  return { vmms: vmms.map(answering), starts: answering(starts) };
}

/** `home` is an empty one; `machine` the arguments of a QEMU other than the one without a CPU. */
export async function makeBench(mode: BenchMode, home = temporaryHome(), machine?: Machine): Promise<Bench> {
  // Neither the world's timers nor the processes that outlive it keep a test alive.
  const keepAlive = setInterval(() => {}, 1_000);
  const unable = new Set<VmId>();
  const images = emptyImages(home);
  images.make(readyImage);
  let vmms: Vmms;
  const agents = new WeakMap<AgentLine, GuestAgent>();
  const dial: Vmm["dial"] = async (id) => {
    const { line, client } = instantAgent(() => !unable.has(id));
    agents.set(line, client);
    return line;
  };
  const make = () => {
    const parts = mode.parts(home);
    vmms = vmmsOf(mode, home, machine, dial);
    return assembleWorld({
      home,
      clock: systemClock,
      mode: parts,
      ...vmms,
      agentClient: (line) => agents.get(line) as GuestAgent,
      images,
      workSeeds: async () => null,
      userFiles: async () => ({ files: [], skipped: [] }),
      sshKey: null,
      runTool: toolRunner(process.env["PATH"] ?? ""),
      warn: (message, details) => console.error(message, details),
      vmm: "qemu",
      acceleration: async () => ({ accelerator: "tcg", why: null }),
    });
  };
  const bench: Bench = {
    world: make(),
    readyImage,
    buildableImage,
    address: (n) => addressAt(mode.addresses, n),
    ...(mode.helper && { helper: mode.helper }),
    async echoes(host, port) {
      const socket = connect({ host, port });
      socket.end("there and back");
      assert.equal(await text(socket), "there and back");
    },
    async restart() {
      await bench.world.close();
      bench.world = make();
    },
    killProcess: ({ pid }) => process.kill(pid, "SIGKILL"),
    loseResize2fs: (id) => void unable.add(id),
    cutGrowthShort: (id) => writeFileSync(vmHandles(home, id).growingMark, ""),
    hideDirectory(id) {
      const { directory } = vmHandles(home, id);
      renameSync(directory, `${directory}-hidden`);
      symlinkSync(directory, directory);
      return () => {
        rmSync(directory);
        renameSync(`${directory}-hidden`, directory);
      };
    },
    abandonBuild: (id) => mkdirSync(imageHandles(home, id).partial, { recursive: true }),
    async close() {
      clearInterval(keepAlive);
      await bench.world.close();
      const { byVm, networks } = scanProcesses(home, vmms.vmms);
      for (const { pid } of [...byVm.values(), ...networks.values()]) process.kill(pid, "SIGKILL");
      rmSync(dirname(home.state), { recursive: true });
    },
  };
  return bench;
}

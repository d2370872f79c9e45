/** Loop devices by the kernel's own calls, from open file to device: no name of a file is ever looked up on the way. */
import { closeSync, constants, existsSync, openSync, readdirSync } from "node:fs";
import { pause } from "../../src/lib/clock.js";
import { libc } from "../libc.js";

const ioctlNumber = libc("int ioctl(int fd, unsigned long request, long argument)");
const ioctlBuffer = libc("int ioctl(int fd, unsigned long request, void *argument)");

/** Requests of linux/loop.h and linux/fs.h. */
const request = {
  configure: 0x4c0a,
  clear: 0x4c01,
  status: 0x4c05,
  free: 0x4c82,
  bytes: 0x80081272,
} as const;

/** LO_FLAGS_ of linux/loop.h. */
const flag = { readOnly: 1, autoclear: 4 } as const;

/** Offsets in struct loop_info64; struct loop_config holds one after its descriptor and its block size. */
const info = { device: 0, inode: 8, flags: 52, label: 56, labelLength: 64, size: 232 } as const;
const config = { info: 8, size: 304 } as const;

export interface Loop {
  /** N of /dev/loopN. */
  number: number;
  /** What stands behind it, as stat(2) has it. */
  device: bigint;
  inode: bigint;
  /** What its maker called it: banger the name of the VM's root device, losetup the path of the file. */
  label: string;
  readOnly: boolean;
}

const code = (error: unknown) => (error as NodeJS.ErrnoException).code;
const nodeOf = (number: number): string => `/dev/loop${number}`;
const isBound = (number: number): boolean => existsSync(`/sys/block/loop${number}/loop/backing_file`);

/** Every loop device of the host that has something behind it. */
export function boundLoops(): Loop[] {
  const loops: Loop[] = [];
  for (const name of readdirSync("/sys/block")) {
    const number = Number(/^loop(\d+)$/.exec(name)?.[1]);
    if (Number.isNaN(number) || !isBound(number)) continue;
    const loop = readLoop(number);
    if (loop !== undefined) loops.push(loop);
  }
  return loops;
}

/** Undefined for one that lost what was behind it in the meantime. */
const readLoop = (number: number): Loop | undefined => opened(number, (fd) => statusOf(number, fd));

/** Works on the open device; undefined when nothing is behind it, or it is not there. */
function opened<T>(number: number, work: (fd: number) => T): T | undefined {
  try {
    const fd = openSync(nodeOf(number), constants.O_RDONLY);
    try {
      return work(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (["ENXIO", "ENOENT", "ENODEV"].includes(code(error) ?? "")) return undefined;
    throw error;
  }
}

function statusOf(number: number, fd: number): Loop {
  const status = Buffer.alloc(info.size);
  ioctlBuffer(fd, request.status, status);
  const label = status.subarray(info.label, info.label + info.labelLength);
  return {
    number,
    device: status.readBigUInt64LE(info.device),
    inode: status.readBigUInt64LE(info.inode),
    label: label.toString("latin1").replace(/\0.*$/s, ""),
    readOnly: (status.readUInt32LE(info.flags) & flag.readOnly) !== 0,
  };
}

export interface AttachedLoop {
  number: number;
  /** An open handle on the device: closed by nobody else, the device goes with it. */
  fd: number;
  /** What fits of the file; the rest of it, less than a sector, is out of reach. */
  sectors: number;
}

/** Others take free devices too, snapd for one: this often it is tried again. */
const attempts = 32;

/**
 * Puts the open file behind a free loop device. The device clears itself when nobody has it open any more (autoclear),
 * from its first moment on: whenever the helper dies before something holds the device, nothing is left behind.
 *
 * @throws the kernel's error
 */
export function attachLoop(file: number, label: string, access: "read" | "write"): AttachedLoop {
  const settings = Buffer.alloc(config.size);
  settings.writeUInt32LE(file, 0);
  settings.writeUInt32LE(flag.autoclear | (access === "read" ? flag.readOnly : 0), config.info + info.flags);
  settings.write(label, config.info + info.label, info.labelLength - 1, "latin1");
  const control = openSync("/dev/loop-control", constants.O_RDWR);
  try {
    for (let attempt = 1; ; attempt++) {
      const number = ioctlNumber(control, request.free, 0);
      const fd = openSync(nodeOf(number), access === "read" ? constants.O_RDONLY : constants.O_RDWR);
      try {
        ioctlBuffer(fd, request.configure, settings);
        return { number, fd, sectors: sectorsOf(fd) };
      } catch (error) {
        closeSync(fd);
        if (code(error) !== "EBUSY" || attempt === attempts) throw error;
      }
    }
  } finally {
    closeSync(control);
  }
}

function sectorsOf(fd: number): number {
  const bytes = Buffer.alloc(8);
  ioctlBuffer(fd, request.bytes, bytes);
  return Number(bytes.readBigUInt64LE() / 512n);
}

/** How often and how long it is waited for those who look at every new disk, udev for one. */
const patience = { times: 100, ms: 20 } as const;

/**
 * Takes away what is behind this loop device, which may long be another's: it is looked at again once it is open, and
 * as long as it is, it cannot become free. Whether it is gone now; else it goes when nobody has it open any more.
 */
export async function clearLoop(loop: Loop): Promise<boolean> {
  const isStill = (now: Loop) =>
    now.device === loop.device && now.inode === loop.inode && now.label === loop.label;
  opened(loop.number, (fd) => {
    if (isStill(statusOf(loop.number, fd))) ioctlNumber(fd, request.clear, 0);
  });
  for (let time = 0; time < patience.times; time++) {
    const now = readLoop(loop.number);
    if (now === undefined || !isStill(now)) return true;
    await pause(patience.ms);
  }
  return false;
}

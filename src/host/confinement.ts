/** What of the host a QEMU may open: the system's programs and libraries, its image, and its own VM's files. */
import { realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Confinement } from "./launcher.js";

export interface Reach {
  /** Path of the program. */
  program: string;
  /** Files and directories that it only reads, as the image's. */
  read: readonly string[];
  /** Those that it writes to, as the VM's. */
  write: readonly string[];
  uid: number;
}

/** Programs, libraries and firmware of the system, wherever a distribution has them; nobody keeps secrets there. */
const systemPlaces = ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store"];

/** What the C library and the processor's description are read from. */
const systemFiles = [
  "/proc/cpuinfo",
  "/proc/filesystems",
  "/sys/devices/system/cpu",
  "/sys/devices/system/node",
  "/sys/kernel/mm/transparent_hugepage",
  "/dev/urandom",
];
const devices = ["/dev/null", "/dev/kvm"];

/**
 * Of /etc, an ordinary user's QEMU may read what its user may, so that a resolv.conf which is replaced stays readable.
 * To root all of /etc is open: there it is these by name.
 */
const etcForRoot = [
  "ld.so.cache",
  "ld.so.preload",
  "resolv.conf",
  "hosts",
  "nsswitch.conf",
  "host.conf",
  "gai.conf",
];

/** Links followed; what does not exist stays as it is, for the program to complain about. */
function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** resolv.conf is mostly a link to what a service replaces: its directory, where that is the service's. */
function resolverPlaces(): string[] {
  const file = real("/etc/resolv.conf");
  return file.startsWith("/run/") && dirname(file) !== "/run" ? [file, dirname(file)] : [file];
}

/** Beside a program that was installed anywhere: libraries and firmware of the same prefix. */
const besides = ["lib", "lib64", "libexec", "share/qemu", "share/seabios", "share/qemu-firmware"];
/** Beside one that runs where it was built. */
const besidesBuilt = ["pc-bios", "qemu-bundle"];

/**
 * The program itself and what lies beside it. Not its directory: a QEMU in a home directory must not open that home.
 */
function programPlaces(program: string): string[] {
  const file = real(program);
  const place = dirname(file);
  const prefix = /^s?bin$/.test(basename(place)) ? dirname(place) : undefined;
  return [
    ...[program, file],
    ...(prefix === undefined ? [] : besides.map((each) => `${prefix}/${each}`)),
    ...besidesBuilt.map((each) => `${place}/${each}`),
  ];
}

export function confinementOf({ program, read, write, uid }: Reach): Confinement {
  const etc = uid === 0 ? etcForRoot.map((name) => `/etc/${name}`) : ["/etc"];
  const reads = [
    ...systemPlaces,
    ...systemFiles,
    ...etc,
    ...resolverPlaces(),
    ...programPlaces(program),
    ...read.flatMap((path) => [path, real(path)]),
  ];
  return { read: [...new Set(reads)], write: [...devices, ...write] };
}

/** System calls that Node has no way to, as functions that throw the error that the kernel gave. */
import koffi from "koffi";

/** Node's own process has libc loaded: there is no library to look for. */
const library = koffi.load(null);

/** errno names that callers tell apart; another is named by its number. */
const names = new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number as number, name]));

/** Meant where a descriptor of a directory is asked for: relative to the working directory, or not relative at all. */
export const atWorkingDirectory = -100;

/**
 * The function of libc with this C prototype; -1 is thrown as an error with `code` and `syscall`, as Node's own have
 * it. Strings must hold no NUL: C would end them there (paths.ts refuses them).
 */
export function libc(prototype: string): (...argv: unknown[]) => number {
  const call = library.func(prototype);
  const syscall = /(\w+)\(/.exec(prototype)?.[1] ?? prototype;
  return (...argv) => {
    const result = Number(call(...argv));
    if (result !== -1) return result;
    throw lastError(syscall);
  };
}

/** What the kernel said last; to be asked before anything else is called. */
function lastError(syscall: string): NodeJS.ErrnoException {
  const number = koffi.errno();
  const code = names.get(number) ?? `errno ${number}`;
  return Object.assign(new Error(`${syscall}: ${code}`), { code, syscall });
}

/** openat2(2) has no function in libc; its number is the same on every architecture. */
const openat2Number = 437;
const syscallOpenat2 = library.func(
  "long syscall(long number, int dir, const char *path, void *how, size_t size)",
);

/** RESOLVE_ flags of openat2(2). */
export const resolve = { noCrossing: 1n, noMagicLinks: 2n, noSymlinks: 4n, beneath: 8n } as const;

/** A descriptor, closed on exec. `mode` is that of a file that O_CREAT makes. @throws the kernel's error */
export function openat2(dir: number, path: string, flags: number, mode: number, resolution: bigint): number {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | closeOnExec), 0);
  how.writeBigUInt64LE(BigInt(mode), 8);
  how.writeBigUInt64LE(resolution, 16);
  const fd = Number(syscallOpenat2(openat2Number, dir, path, how, how.length));
  if (fd >= 0) return fd;
  throw lastError("openat2");
}

/** Flags of open(2) that Node's `constants` lack. */
export const pathOnly = 0o10000000;
const closeOnExec = 0o2000000;

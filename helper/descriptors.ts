/** Descriptors that go with the work they were opened for, however it ends: Node knows nothing of what libc opened. */
import { closeSync } from "node:fs";

export type Keep = (fd: number) => number;

/** Does the work; what it handed to `keep` is closed afterwards, the last first. */
export function withDescriptors<T>(work: (keep: Keep) => T): T {
  const open: number[] = [];
  try {
    return work((fd) => {
      open.push(fd);
      return fd;
    });
  } finally {
    for (const fd of open.reverse()) closeSync(fd);
  }
}

/** The descriptor that `check` lets pass; one that it throws at is closed. */
export function checked(fd: number, check: (fd: number) => void): number {
  try {
    check(fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

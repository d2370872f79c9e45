/**
 * A bound for the logs that nobody rotates, of VMMs and of the daemon: one that has grown long keeps only its end. A
 * QEMU's console has a process for that which needs no daemon (helper/launcher/log.c).
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { type Home, homeHandles, vmHandles } from "../../home/handles.js";
import type { Clock, Timer } from "../../lib/clock.js";
import { errorBody } from "../../lib/errors.js";
import type { Warn } from "../../lib/warn.js";
import type { VmId } from "../../model/model.js";

const mebibyte = 1 << 20;
const grownBytes = 16 * mebibyte;
const keptBytes = mebibyte;
/** A console writes a few MiB in this time at most, since the guest waits for every byte of it. */
const intervalMs = 30_000;

/**
 * Leaves the last whole lines, 1 MiB at most, of a log that has passed 16 MiB; whoever writes it must append.
 * What is written between copying those lines and cutting the file is lost. A missing file is a short one.
 */
export async function boundLog(path: string): Promise<void> {
  const file = await open(path, constants.O_RDWR | constants.O_APPEND).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    },
  );
  if (file === undefined) return;
  try {
    const { size } = await file.stat();
    if (size <= grownBytes) return;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(keptBytes), 0, keptBytes, size - keptBytes);
    const end = buffer.subarray(0, bytesRead);
    await file.truncate(0);
    await file.writeFile(end.subarray(end.indexOf("\n") + 1));
  } finally {
    await file.close();
  }
}

/** Bounds the logs of daemon and running VMs, time and again; the result ends that and waits for what is under way. */
export function boundLogs(
  home: Home,
  clock: Clock,
  running: () => Iterable<VmId>,
  warn: Warn,
): () => Promise<void> {
  let timer: Timer;
  let closed = false;
  let round: Promise<void> = Promise.resolve();
  const bound = async () => {
    const ofVms = [...running()].flatMap((id) => {
      const { consoleLog, vmmLog } = vmHandles(home, id);
      return [consoleLog, vmmLog];
    });
    for (const path of [homeHandles(home).daemonLog, ...ofVms]) {
      await boundLog(path).catch((thrown: unknown) =>
        warn("a log was not bounded", { path, error: errorBody(thrown) }),
      );
    }
  };
  const again = () => {
    if (closed) return;
    timer = clock.after(intervalMs, () => {
      round = bound().finally(again);
    });
  };
  again();
  return () => {
    closed = true;
    timer.cancel();
    return round;
  };
}

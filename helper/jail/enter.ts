/** Starts jailer where a VM's files are mounted in its chroot, and nowhere else: in a thread with its own mounts. */
import { Worker } from "node:worker_threads";
import type { Part } from "./parts.js";

export interface Entry {
  parts: readonly Part[];
  /** The chroot, with an empty file for each part. */
  root: string;
  /** An open handle on jailer. */
  jailer: number;
  argv: readonly string[];
  /** Where it and Firecracker write what they have to say. */
  output: number;
}

export type Word = { ended: number | null } | { failed: string };

/**
 * Resolves with jailer's exit status, null when a signal ended it; it has then left Firecracker behind, if all is well.
 * The descriptors must stay open until then. @throws an error of the kernel's; the signal's reason
 */
export function enterJail(entry: Entry, signal: AbortSignal): Promise<number | null> {
  signal.throwIfAborted();
  const thread = new Worker(new URL("./enter-thread.js", import.meta.url), {
    workerData: entry,
    // It opens its own by the kernel's calls, of which Node knows nothing.
    trackUnmanagedFds: false,
  });
  return new Promise((resolve, reject) => {
    const stop = () => thread.postMessage("stop");
    signal.addEventListener("abort", stop, { once: true });
    thread.once("message", (word: Word) => {
      if (signal.aborted) reject(signal.reason);
      else if ("ended" in word) resolve(word.ended);
      else reject(new Error(`the jail's mounts: ${word.failed}`));
    });
    thread.once("error", reject);
    thread.once("exit", () => {
      signal.removeEventListener("abort", stop);
      reject(new Error("the thread that starts jailer ended early"));
    });
  });
}

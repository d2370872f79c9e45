/** The thread of enter.ts: a mount namespace belongs to a thread, and goes with the last process that began there. */
import { constants } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { withDescriptors } from "../descriptors.js";
import { atWorkingDirectory, libc, openat2, pathOnly, resolve } from "../libc.js";
import { spawnOpen } from "../tools.js";
import type { Entry, Word } from "./enter.js";
import { attachMount, detachedMount, leaveMountNamespace } from "./mount-calls.js";

const umask = libc("unsigned int umask(unsigned int mask)");

/**
 * Mounts can only be copied where they are, and attached where the copies are to be: before and after leaving. The
 * thread shares its descriptors with the whole helper: what it opens it closes, also when it fails.
 */
const mountParts = ({ parts, root }: Entry): void =>
  withDescriptors((keep) => {
    const copies = parts.map(({ fd, name, attributes }) => ({
      name,
      tree: keep(detachedMount(fd, attributes)),
    }));
    leaveMountNamespace();
    const dir = keep(
      openat2(atWorkingDirectory, root, pathOnly | constants.O_DIRECTORY, 0, resolve.noSymlinks),
    );
    for (const { name, tree } of copies) {
      const target = keep(openat2(dir, name, pathOnly, 0, resolve.beneath | resolve.noSymlinks));
      attachMount(tree, target);
    }
  });

const say = (word: Word) => parentPort?.postMessage(word);

const entry = workerData as Entry;
try {
  mountParts(entry);
  // The thread has its own by now: the API socket is to be the owner's alone.
  umask(0o077);
  const child = spawnOpen(entry.jailer, "jailer", entry.argv, {
    stdio: ["ignore", entry.output, entry.output],
    detached: true,
  });
  parentPort?.once("message", () => child.kill("SIGKILL"));
  child.once("error", ({ message }) => {
    say({ failed: message });
    parentPort?.close();
  });
  child.once("exit", (status) => {
    say({ ended: status });
    parentPort?.close();
  });
} catch (error) {
  say({ failed: (error as Error).message });
}

/** Unmounts what is mounted below a directory, deepest first, whoever mounted it: the owner may with FUSE. */
import { closeSync, readFileSync } from "node:fs";
import { type Mount, mountsBelow, parseMounts } from "../../src/host/mounts.js";
import { unmountAt } from "./mount-calls.js";
import { openPlace } from "./place.js";
import { openDirectoryIn } from "./tree.js";

const present = (path: string): Mount[] =>
  mountsBelow(path, parseMounts(readFileSync("/proc/self/mountinfo", "latin1")));

/** @throws the kernel's error when something cannot be unmounted, Refusal of place.ts */
export function unmountBelow(parent: string, name: string): void {
  const path = `${parent}/${name}`;
  for (const mount of present(path)) {
    const names = `${name}${mount.path.slice(path.length)}`.split("/");
    let dir = openPlace(parent);
    try {
      for (const each of names.slice(0, -1)) {
        const above = dir;
        dir = openDirectoryIn(above, Buffer.from(each, "latin1"));
        closeSync(above);
      }
      unmountAt(dir, Buffer.from(names.at(-1) ?? "", "latin1"));
    } finally {
      closeSync(dir);
    }
  }
}

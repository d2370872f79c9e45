/** Judges what a snapshot is to keep its own in: the kernel believes what stands at the beginning of it. */
import { readSync } from "node:fs";
import { HostFailure, Refusal } from "../refusal.js";
import { chunk } from "./mapper.js";

/** The header of a persistent store, little-endian words; one of zeros is written by the kernel itself. */
const offset = { magic: 0, valid: 4, version: 8, chunk: 12 } as const;
const headerBytes = 16;
/** "SnAp" */
const magic = 0x70416e53;
const version = 1;

/**
 * Its owner may have written anything there, sizes for which the kernel would then take memory included.
 * @throws Refusal `store-header`; HostFailure `root_lost` for one that the kernel itself has invalidated
 */
export function gateStore(fd: number, path: string): void {
  const header = Buffer.alloc(headerBytes);
  readSync(fd, header, 0, headerBytes, 0);
  const word = (name: keyof typeof offset) => header.readUInt32LE(offset[name]);
  if (word("magic") === 0) return;
  if (word("magic") !== magic || word("version") !== version || word("chunk") !== chunk || word("valid") > 1)
    throw new Refusal("store-header", `${path} is not a snapshot store created by this helper`);
  if (word("valid") === 0)
    throw new HostFailure(
      "root_lost",
      `the kernel invalidated ${path} after a failed write: the VM's root disk is lost`,
      "never",
      `df -h ${path}`,
    );
}

/** A VM's resource usage, in columns of fixed width: a line must not wait for the next one. */
import type { VmStats } from "../../contract/contract.js";
import { bytes } from "./units.js";

/** One line; without stats the names of the columns. */
export function statsLine(stats: VmStats | undefined, cpu: number | null = null): string {
  const none = "–";
  const cells =
    stats === undefined
      ? ["CPU", "MEMORY", "OF", "/", "OF", "/root", "OF", "STATE"]
      : [
          cpu === null ? none : `${Math.round(cpu * 100)}%`,
          stats.rssBytes === null ? none : bytes(stats.rssBytes),
          bytes(stats.memoryMiB * 2 ** 20),
          bytes(stats.rootBytes),
          bytes(stats.rootMiB * 2 ** 20),
          bytes(stats.diskBytes),
          bytes(stats.diskMiB * 2 ** 20),
          stats.phase,
        ];
  const [share = "", ...rest] = cells;
  const last = rest.pop() ?? "";
  return `${share.padStart(5)}  ${rest.map((cell) => cell.padEnd(10)).join("")}${last}\n`;
}

/** VMs' resource usage, in columns of fixed width: a line must not wait for the next one. */
import type { VmStats } from "../../contract/contract.js";
import { formatBytes, formatSize } from "../../lib/sizes.js";

/** "300M of 4G" */
const of = (bytes: number | null, miB: number): string =>
  `${bytes === null ? "–" : formatBytes(bytes)} of ${formatSize(miB)}`;

const line = (name: string, width: number, [cpu = "", ...cells]: string[], state: string): string =>
  `${name.padEnd(width)}  ${cpu.padStart(5)}  ${cells.map((cell) => cell.padEnd(14)).join("")}${state}\n`;

/** Names of the columns; `width` is that of the longest name of a VM. */
export const statsTitles = (width: number): string =>
  line("NAME", width, ["CPU", "MEMORY", "/", "/root"], "STATE");

/** One line; `cpu` in whole processors. */
export function statsLine(name: string, width: number, stats: VmStats, cpu: number | null): string {
  const cells = [
    cpu === null ? "–" : `${Math.round(cpu * 100)}%`,
    of(stats.rssBytes, stats.memoryMiB),
    of(stats.rootBytes, stats.rootMiB),
    of(stats.diskBytes, stats.diskMiB),
  ];
  return line(name, width, cells, stats.phase);
}

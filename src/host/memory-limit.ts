/** How much memory this process and its children may take: RAM, or less where a control group says so. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";

/** Where the kernel shows itself; a test that stands in for it has another. */
interface Kernel {
  proc: string;
  sys: string;
}

const thisKernel: Kernel = { proc: "/proc", sys: "/sys" };

/** In bytes: the least of RAM and of the limits of this process's control group and of each above it. */
export function memoryLimit({ proc, sys }: Kernel = thisKernel, ram: number = totalmem()): number {
  const limits = text(`${proc}/self/cgroup`)
    .split("\n")
    .flatMap((line) => {
      const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
      if (path === undefined || controllers === undefined) return [];
      if (controllers === "") return limitsUp(`${sys}/fs/cgroup`, path, "memory.max");
      if (!controllers.split(",").includes("memory")) return [];
      return limitsUp(`${sys}/fs/cgroup/memory`, path, "memory.limit_in_bytes");
    });
  return Math.min(ram, ...limits);
}

/** The limits of a group and of those above it, as far as they are shown here; "max" is none. */
function limitsUp(mount: string, path: string, file: string): number[] {
  const names = path.split("/").filter((name) => name !== "");
  return Array.from({ length: names.length + 1 }, (_, depth) => {
    const group = names.slice(0, depth).join("/");
    return Number.parseInt(text(`${mount}/${group}/${file}`), 10);
  }).filter((limit) => limit > 0);
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

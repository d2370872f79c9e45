/** What a process has of its attributes that banger's daemon should not have: see docs/inherited.md. */
import { readFileSync } from "node:fs";

/** Fewer open files than this serve no more than a few dozen VMs. */
const fewFiles = 4096;

/** Limits that /proc calls so, and how a shell is told to show them. */
const unlimited = {
  "Max cpu time": "ulimit -t",
  "Max file size": "ulimit -f",
  "Max data size": "ulimit -d",
  "Max address space": "ulimit -v",
} as const;

/** Those that are odd, in words such as "nice 19". `path` is the process's directory in /proc. */
export function oddAttributes(path: string): string[] {
  const stat = readFileSync(`${path}/stat`, "latin1");
  const limits = readFileSync(`${path}/limits`, "latin1");
  const score = Number(readFileSync(`${path}/oom_score_adj`, "latin1"));
  // The third field stands behind the command's name in parentheses: proc(5) counts from one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [nice, policy] = [fields[19 - 3], fields[41 - 3]];
  const softOf = (name: string) => new RegExp(`^${name} +(\\S+)`, "m").exec(limits)?.[1];
  const files = Number(softOf("Max open files"));
  return [
    ...(nice === "0" ? [] : [`nice ${nice}`]),
    ...(policy === "0" ? [] : [`scheduling policy ${policy}`]),
    ...(score > 0 ? [`oom_score_adj ${score}`] : []),
    ...(files < fewFiles ? [`${files} open files (ulimit -n)`] : []),
    ...Object.entries(unlimited).flatMap(([name, shells]) => {
      const soft = softOf(name);
      return soft === "unlimited" ? [] : [`${name.slice(4)} ${soft} (${shells})`];
    }),
  ];
}

/** Pure: checks of what QEMU and the daemon run with; docs/inherited.md has the table. */
import { type Check, type Fact, judge, pass, warn } from "./check.js";

export interface ProcessFacts {
  /** Version of Landlock that the kernel offers; 0 where it has none. */
  landlock: Fact<number>;
  /** Whether VMs run as user 0. */
  root: boolean;
  /** What the running daemon has of its first caller's and should not have; empty where none runs. */
  inherited: Fact<string[]>;
}

export const processChecks = ({ landlock, root, inherited }: ProcessFacts): Check[] => [
  judge("confinement", landlock, "make build", confinement),
  ...(root ? [asRoot] : []),
  judge("inherited", inherited, "banger daemon status", attributes),
];

function attributes(odd: string[]): Check {
  if (odd.length === 0)
    return pass("inherited", "daemon and VMs inherited nothing from the daemon's first caller");
  const detail = `the daemon, and so its VMs, inherited from its first caller: ${odd.join(", ")}`;
  return warn("inherited", detail, "banger daemon stop, then any command from an ordinary shell");
}

function confinement(version: number): Check {
  if (version > 0) return pass("confinement", `QEMU opens its own VM's files alone (Landlock ${version})`);
  const detail = "Landlock is not enabled in this kernel: QEMU can open every file that you can";
  return warn(
    "confinement",
    detail,
    "use a kernel from 5.13 on, with landlock in: cat /sys/kernel/security/lsm",
  );
}

const asRoot = warn(
  "root",
  "VMs run as root: where QEMU is not confined it could change root's files; it has none of root's capabilities",
  "use banger as an ordinary user; user mode does not need root",
);

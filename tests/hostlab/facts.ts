/** What the lab's kernel has of each VM, seen without banger. */
import type { Lab } from "./lab.js";

/** Ids of VMs, sorted. */
export interface Facts {
  taps: string[];
  devices: string[];
  /** Loops over this VM's own copy-on-write file. */
  loops: string[];
  nats: string[];
  jails: string[];
  cgroups: string[];
  /** `id pid` of each Firecracker. */
  vmms: string[];
}

/** One line a fact: its kind, and the VM's id. */
const script = `
ip -o link | sed -n 's/.*: tap-fc-\\([0-9a-f]*\\):.*/taps \\1/p'
dmsetup ls | sed -n 's/^fc-rootfs-\\([0-9a-f]*\\).*/devices \\1/p'
losetup --list --noheadings --output BACK-FILE | sed -n 's|.*/vms/\\([0-9a-f]*\\)/root.cow.*|loops \\1|p'
for address in $(nft list set inet banger nats 2>/dev/null | grep -oE '([0-9]+[.]){3}[0-9]+'); do echo "nats $address"; done
ls /var/lib/banger/jails/firecracker 2>/dev/null | sed -n 's/^banger-/jails /p'
find /sys/fs/cgroup -type d -name 'banger-????????' | sed 's|.*/banger-|cgroups |'
for pid in $(pgrep -x firecracker); do
  echo "vmms $(tr '\\0' ' ' </proc/$pid/cmdline | sed -n 's/.*--id banger-\\([0-9a-f]*\\).*/\\1/p') $pid"
done`;

export async function factsOf(lab: Lab): Promise<Facts> {
  const facts: Facts = { taps: [], devices: [], loops: [], nats: [], jails: [], cgroups: [], vmms: [] };
  for (const line of (await lab.ok(script)).trim().split("\n")) {
    const [kind, ...words] = line.split(" ");
    if (kind !== undefined && kind in facts) facts[kind as keyof Facts].push(words.join(" "));
  }
  for (const list of Object.values(facts) as string[][]) list.sort();
  return facts;
}

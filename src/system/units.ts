/** Pure: the systemd units of system mode as text, from the metadata of the installation; docs/privileges.md has why. */
import type { Metadata } from "../../helper/metadata.js";
import { systemHandles } from "../home/handles.js";
import { builderSocketUnit, builderUnit, daemonUnit, helperSocketUnit, helperUnit } from "../home/units.js";

/** What the units run; root alone can write any of it (src/system/programs.ts). */
export interface Programs {
  node: string;
  /** The installed tree: `PREFIX/lib/banger`. */
  tree: string;
  /** Whether the host has a group `kvm`, which opens /dev/kvm. */
  kvmGroup: boolean;
  /** Whether the host's only iptables is the one that speaks to the kernel through a raw socket. */
  legacyIptables: boolean;
}

type Section = readonly (readonly [key: string, value: string])[];

/** Exactly what the helper's methods use; docs/privileges.md says which uses what. */
export const helperCapabilities = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_ADMIN",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SYS_ADMIN",
  "CAP_SYS_PTRACE",
] as const;

/** What of its own each service sees of the host's files and devices. */
const confined: Section = [
  ["UMask", "0077"],
  ["ProtectSystem", "strict"],
  ["DevicePolicy", "closed"],
];

/** None of banger's services needs any of this. They all imply NoNewPrivileges for a service that is not root's. */
const neverNeeded: Section = [
  ["NoNewPrivileges", "yes"],
  ["PrivateTmp", "yes"],
  ["ProtectClock", "yes"],
  ["ProtectHostname", "yes"],
  ["ProtectKernelLogs", "yes"],
  ["ProtectKernelModules", "yes"],
  ["ProtectKernelTunables", "yes"],
  ["RestrictRealtime", "yes"],
  ["LockPersonality", "yes"],
  ["SystemCallArchitectures", "native"],
  ["SystemCallErrorNumber", "EPERM"],
];

/** VMs outlive the service that started them, also where the kernel has killed one for want of memory. */
const vmsGoOn: Section = [
  ["KillMode", "process"],
  ["OOMPolicy", "continue"],
  ["TasksMax", "infinity"],
  ["LimitNOFILE", "524288"],
];

/** DeviceAllow finds device-mapper's nodes and number, which is another on every boot, when the service starts. */
const deviceMapper = "modprobe@dm_mod.service";
/** That of loop devices is fixed (LOOP_MAJOR), and known before their module is loaded. */
const loopMajor = 7;

const runtime = (name: string, mode: string): Section => [
  ["RuntimeDirectory", name],
  ["RuntimeDirectoryMode", mode],
  ["RuntimeDirectoryPreserve", "yes"],
];

/** The last part of a path in /run. */
const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

function daemon({ owner, home }: Metadata, { node, tree, kvmGroup }: Programs): string {
  const service: Section = [
    ["Type", "exec"],
    ["ExecStart", `${node} --max-semi-space-size=2 ${tree}/dist/src/daemon/main.js`],
    ["Restart", "on-failure"],
    ["RestartSec", "1s"],
    ["User", owner.name],
    ...(kvmGroup ? ([["SupplementaryGroups", "kvm"]] as const) : []),
    ["Environment", "BANGER_MODE=system"],
    ...runtime(nameOf(home.runtime), "0700"),
    ...vmsGoOn,
    ["CapabilityBoundingSet", ""],
    ["AmbientCapabilities", ""],
    ...confined,
    ["ReadWritePaths", `${systemHandles().base} ${home.cache}`],
    ["ProtectHome", "read-only"],
    ["ProtectControlGroups", "yes"],
    ["DeviceAllow", "/dev/kvm rw"],
    ["DeviceAllow", "/dev/net/tun rw"],
    ["DeviceAllow", "block-device-mapper rw"],
    ...neverNeeded,
    ["RestrictSUIDSGID", "yes"],
    ["RestrictNamespaces", "yes"],
    ["RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"],
    ["SystemCallFilter", "@system-service"],
    ["SystemCallFilter", "~@privileged @resources"],
    ["SystemCallFilter", "landlock_create_ruleset landlock_add_rule landlock_restrict_self"],
  ];
  return text({
    Unit: [
      ["Description", `banger: disposable Linux microVMs of ${owner.name}`],
      ["Documentation", "man:banger(1)"],
      ["Wants", `${helperSocketUnit} ${builderSocketUnit} ${deviceMapper}`],
      ["After", `${helperSocketUnit} ${builderSocketUnit} ${deviceMapper}`],
    ],
    Service: service,
    Install: [["WantedBy", "multi-user.target"]],
  });
}

function helper({ node, tree, legacyIptables }: Programs): string {
  const raw = legacyIptables ? ["CAP_NET_RAW"] : [];
  const { base, metadata, helperRuntime } = systemHandles();
  return text({
    Unit: [
      ["Description", "banger's root helper"],
      ["Documentation", "man:banger(1)"],
      ["Requires", helperSocketUnit],
      ["Wants", deviceMapper],
      ["After", `${helperSocketUnit} ${deviceMapper}`],
    ],
    Service: [
      ["Type", "exec"],
      ["ExecStart", `${node} --max-semi-space-size=2 ${tree}/dist/helper/main.js --metadata ${metadata}`],
      ...runtime(nameOf(helperRuntime), "0755"),
      ...vmsGoOn,
      ["CapabilityBoundingSet", [...helperCapabilities, ...raw].sort().join(" ")],
      ...confined,
      ["ReadWritePaths", `${base} /sys/fs/cgroup /proc/sys/net`],
      ["ProtectHome", "yes"],
      ["DeviceAllow", "/dev/net/tun rw"],
      ["DeviceAllow", "/dev/loop-control rw"],
      ["DeviceAllow", "/dev/mapper/control rw"],
      ["DeviceAllow", `block-${loopMajor} rw`],
      ...neverNeeded,
      ["RestrictNamespaces", "mnt pid"],
      ["RestrictAddressFamilies", `AF_UNIX AF_NETLINK${legacyIptables ? " AF_INET" : ""}`],
      ["IPAddressDeny", "any"],
      ["SystemCallFilter", "@system-service @mount seccomp"],
      ["SystemCallFilter", "~@resources"],
    ],
  });
}

/**
 * One build of an image from packages. It makes a user namespace through newuidmap, which is setuid: nothing here may
 * imply NoNewPrivileges, nor cover parts of /proc, without which the kernel lets nobody mount another one.
 */
function builder({ owner, home }: Metadata, { node, tree }: Programs): string {
  return text({
    Unit: [
      ["Description", `an image builder of banger's, for ${owner.name}`],
      ["Documentation", "man:banger(1)"],
      ["CollectMode", "inactive-or-failed"],
    ],
    Service: [
      ["Type", "exec"],
      ["ExecStart", `${node} ${tree}/dist/src/images/builder/main.js`],
      ["StandardInput", "socket"],
      ["StandardOutput", "socket"],
      ["StandardError", "journal"],
      ["User", owner.name],
      ["CapabilityBoundingSet", "CAP_DAC_OVERRIDE CAP_SETGID CAP_SETUID CAP_SYS_ADMIN"],
      ["AmbientCapabilities", ""],
      ...confined,
      ["ReadWritePaths", `${home.data} ${home.cache} /var/tmp`],
      ["ProtectHome", "yes"],
      ["ProtectControlGroups", "yes"],
    ],
  });
}

/** Only the owner may connect, and root. */
function socket(description: string, path: string, { owner }: Metadata, more: Section = []): string {
  return text({
    Unit: [
      ["Description", description],
      ["Documentation", "man:banger(1)"],
    ],
    Socket: [
      ["ListenStream", path],
      ["SocketUser", owner.name],
      ["SocketMode", "0600"],
      ["DirectoryMode", "0755"],
      ["RemoveOnStop", "yes"],
      ...more,
    ],
    Install: [["WantedBy", "sockets.target"]],
  });
}

const text = (sections: Readonly<Record<string, Section>>): string =>
  Object.entries(sections)
    .map(([name, lines]) => `[${name}]\n${lines.map(([key, value]) => `${key}=${value}\n`).join("")}`)
    .join("\n");

/** Of a host's builders at once; a build takes all of a CPU. */
const mostBuilders = "16";

/** Every unit by its file name. */
export function unitsOf(metadata: Metadata, programs: Programs): Record<string, string> {
  const { helperSocket, builderSocket } = systemHandles();
  return {
    [helperSocketUnit]: socket("the socket of banger's root helper", helperSocket, metadata),
    [helperUnit]: helper(programs),
    [builderSocketUnit]: socket("the socket of banger's image builders", builderSocket, metadata, [
      ["Accept", "yes"],
      ["MaxConnections", mostBuilders],
    ]),
    [builderUnit]: builder(metadata, programs),
    [daemonUnit]: daemon(metadata, programs),
  };
}

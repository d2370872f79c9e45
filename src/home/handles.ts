/** Pure: from an id to every name that banger gives on the host. No other file makes such a name. */
import type { ImageId, VmId } from "../model/model.js";

/** The five XDG places of one banger; see config.ts for how they are found. */
export interface Home {
  state: string;
  data: string;
  cache: string;
  config: string;
  /** Sockets, which are named by a descriptor of it: see socket-place.ts. */
  runtime: string;
}

export interface HomeHandles {
  log: string;
  daemonLog: string;
  apiSocket: string;
  handlesCache: string;
  vms: string;
  runtimeVms: string;
  images: string;
  kernels: string;
  /** Blobs of images from registries. */
  ociCache: string;
  /** Where the CLI makes files of its own when TMPDIR cannot be used. */
  scratch: string;
  sshKey: string;
  knownHosts: string;
  configFile: string;
  /** What plain ssh needs to know to reach `<name>.vm`. */
  sshConfig: string;
}

export function homeHandles(home: Home): HomeHandles {
  return {
    log: `${home.state}/banger.db`,
    daemonLog: `${home.state}/daemon.log`,
    apiSocket: `${home.runtime}/api.sock`,
    handlesCache: `${home.state}/handles.json`,
    vms: `${home.state}/vms`,
    runtimeVms: `${home.runtime}/vms`,
    images: `${home.data}/images`,
    kernels: `${home.data}/kernels`,
    ociCache: `${home.cache}/oci`,
    scratch: `${home.state}/tmp`,
    sshKey: `${home.state}/ssh/id_ed25519`,
    knownHosts: `${home.state}/ssh/known_hosts`,
    configFile: `${home.config}/config.toml`,
    sshConfig: `${home.config}/ssh_config`,
  };
}

/** Where system mode lives on every host; `prefix` stands before all of it in tests. */
export function systemHandles(prefix = "") {
  const base = `${prefix}/var/lib/banger`;
  const runtime = `${prefix}/run/banger`;
  return {
    base,
    /** What `banger system install` wrote down, for the helper, the daemon and the CLI; root's. */
    metadata: `${base}/install.json`,
    state: `${base}/state`,
    data: `${base}/data`,
    jails: `${base}/jails`,
    cache: `${prefix}/var/cache/banger`,
    runtime,
    helperRuntime: `${runtime}-helper`,
    helperSocket: `${runtime}-helper/helper.sock`,
    builderRuntime: `${runtime}-builder`,
    /** Each connection is one image builder (src/images/builder/main.ts). */
    builderSocket: `${runtime}-builder/builder.sock`,
    units: `${prefix}/etc/systemd/system`,
    udevRules: `${prefix}/etc/udev/rules.d`,
  };
}

/** The home of system mode; only the configuration stays where its owner has it. */
export function systemHome(config: string, prefix = ""): Home {
  const { state, data, cache, runtime } = systemHandles(prefix);
  return { state, data, cache, config, runtime };
}

/** The user's own configuration of ssh, of which banger owns nothing but the lines between its markers. */
export const userSshConfig = (userHome: string): string => `${userHome}/.ssh/config`;

export interface VmHandles {
  directory: string;
  rootDisk: string;
  /** The root disk as a plain copy of the image's, where there is neither overlay nor snapshot. */
  rootFile: string;
  /** What a snapshot of the image's root disk keeps of its own. */
  rootCow: string;
  workDisk: string;
  /** Is there from before the work disk gets longer until its file system has grown with it; see `atStartMark`. */
  growingMark: string;
  /** The same of the root disk, whose file system the guest makes grow at each boot. */
  rootGrowingMark: string;
  seed: string;
  /** Private ed25519 host key of the guest; its public half lies beside it with ".pub". */
  hostKey: string;
  consoleLog: string;
  vmmLog: string;
  runtime: string;
  qmpSocket: string;
  agentSocket: string;
  /** Where the network process hears QEMU and the daemon, and what it says before its end. */
  netSocket: string;
  netControlSocket: string;
  netLog: string;
  /** Interface name, at most 15 characters (IFNAMSIZ). */
  tap: string;
  /** The guest's Ethernet address: locally administered, and the id in its last four bytes. */
  mac: string;
  /** Name of the dm-snapshot that is the root device, and where it can be opened. */
  deviceName: string;
  rootDevice: string;
  /** Firecracker's id for jailer and API. */
  jailId: string;
  /** Where jailer keeps this VM's chroot. */
  jail: string;
  /** The chroot itself. */
  jailRoot: string;
  /** Firecracker's API and vsock sockets, as the host sees them; see `jailFiles`. */
  firecrackerSocket: string;
  vsockSocket: string;
  /** What `-name guest=` carries. */
  guestName: string;
  /** The name under which known_hosts pins the guest's host key. */
  hostKeyAlias: string;
}

/**
 * What Firecracker finds in its chroot, by the paths that it sees there. The helper shows it the VM's and the image's
 * files there and has it listen at `apiSocket`; the other socket is Firecracker's own.
 */
export const jailFiles = {
  kernel: "/kernel",
  initrd: "/initrd",
  /** The root device, or the VM's own copy of the image's root disk. */
  root: "/root",
  work: "/work",
  seed: "/seed",
  vmmLog: "/vmm.log",
  apiSocket: "/run/api.sock",
  vsockSocket: "/run/vsock.sock",
} as const;

/** Sockets in the VM's runtime directory, where QEMU and the network process sit: no path to them can be too long. */
export const runtimeFiles = {
  qmpSocket: "qmp.sock",
  agentSocket: "agent.sock",
  netSocket: "net.sock",
  netQemuSocket: "net-qemu.sock",
  netControlSocket: "net-control.sock",
} as const;

/** What the growing mark holds once the guest that runs was seen to be unable to make its file system grow. */
export const atStartMark = "at start\n";

const tapPrefix = "tap-fc-";
const devicePrefix = "fc-rootfs-";

/** The VM whose handle has this name, if it is one of ours. */
const idAfter =
  (prefix: string) =>
  (name: string): VmId | undefined => {
    const id = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    return isVmId(id) ? id : undefined;
  };
export const parseTap = idAfter(tapPrefix);
export const parseDeviceName = idAfter(devicePrefix);
/** Of a jail, and of `-name guest=` and `--guest`. */
export const parseGuestName = idAfter("banger-");

const poolPrefix = "tap-pool-";

/** Taps that lie ready for VMs to come. */
export const poolTap = (index: number): string => `${poolPrefix}${index}`;
export const isPoolTap = (name: string): boolean => /^tap-pool-\d{1,3}$/.test(name);

/** What stands for every VM's tap, and for every tap of the pool, in a rule of nftables. */
export const tapPatterns = { vm: `${tapPrefix}*`, pool: `${poolPrefix}*` };

/**
 * The bridge's own Ethernet address, from its IPv4 address. The bridge is made with it, so that a bridge of our name
 * which somebody else made is told apart from ours; no guest's address begins like this one.
 */
export const bridgeMac = (address: string): string =>
  `02:fc:${address
    .split(".")
    .map((each) => Number(each).toString(16).padStart(2, "0"))
    .join(":")}`;

/** Name of the tables in nftables; the chains in iptables begin with it in capitals. */
export const firewallTable = "banger";

/** What jailer knows as its chroot base directory: on the file system of state and data, whose files it links to. */
export const jailsOf = (home: Home): string => `${home.state.slice(0, home.state.lastIndexOf("/"))}/jails`;

export function vmHandles(home: Home, id: VmId): VmHandles {
  const directory = `${home.state}/vms/${id}`;
  const runtime = `${home.runtime}/vms/${id}`;
  const jailId = `banger-${id}`;
  const jail = `${jailsOf(home)}/firecracker/${jailId}`;
  const jailRoot = `${jail}/root`;
  return {
    directory,
    rootDisk: `${directory}/root.qcow2`,
    rootFile: `${directory}/root.raw`,
    rootCow: `${directory}/root.cow`,
    workDisk: `${directory}/work.raw`,
    growingMark: `${directory}/work.growing`,
    rootGrowingMark: `${directory}/root.growing`,
    seed: `${directory}/seed.tar`,
    hostKey: `${directory}/ssh_host_ed25519_key`,
    consoleLog: `${directory}/console.log`,
    vmmLog: `${directory}/vmm.log`,
    runtime,
    qmpSocket: `${runtime}/${runtimeFiles.qmpSocket}`,
    agentSocket: `${runtime}/${runtimeFiles.agentSocket}`,
    netSocket: `${runtime}/${runtimeFiles.netSocket}`,
    netControlSocket: `${runtime}/${runtimeFiles.netControlSocket}`,
    netLog: `${directory}/net.log`,
    tap: `${tapPrefix}${id}`,
    mac: `06:fc:${(id.match(/../g) ?? []).join(":")}`,
    deviceName: `${devicePrefix}${id}`,
    rootDevice: `/dev/mapper/${devicePrefix}${id}`,
    jailId,
    jail,
    jailRoot,
    firecrackerSocket: `${jailRoot}${jailFiles.apiSocket}`,
    vsockSocket: `${jailRoot}${jailFiles.vsockSocket}`,
    guestName: `banger-${id}`,
    hostKeyAlias: `${id}.banger`,
  };
}

const removedSuffix = ".removed";

/** Where a VM's directory goes first when it is removed, so that no half-removed one is ever taken for whole. */
export const removedDirectory = (home: Home, id: VmId): string =>
  `${vmHandles(home, id).directory}${removedSuffix}`;

/** What a directory below vms/ is: a VM's own, the removed form of one, or nothing of ours. */
export function parseVmDirectory(name: string): { id: VmId; removed: boolean } | undefined {
  const removed = name.endsWith(removedSuffix);
  const id = removed ? name.slice(0, -removedSuffix.length) : name;
  return isVmId(id) ? { id, removed } : undefined;
}

export interface ImageHandles {
  directory: string;
  /** Where a build happens until it is whole. */
  partial: string;
  rootfs: string;
  kernel: string;
  manifest: string;
}

const partialSuffix = ".partial";

const kernelPrefix = "kernel-";
export const isKernelId = (id: ImageId): boolean => id.startsWith(kernelPrefix);

/** The id of what is made from something with this fingerprint, in lower-case hex digits. */
export const imageIdFrom = (name: string, fingerprint: string): ImageId =>
  `${name}-${fingerprint.slice(0, 8)}`;
export const kernelIdFrom = (name: string, fingerprint: string): ImageId =>
  `${kernelPrefix}${imageIdFrom(name, fingerprint)}`;

export function imageHandles(home: Home, id: ImageId): ImageHandles {
  const { images, kernels } = homeHandles(home);
  const directory = `${isKernelId(id) ? kernels : images}/${id}`;
  return {
    directory,
    partial: `${directory}${partialSuffix}`,
    rootfs: `${directory}/rootfs.ext4`,
    kernel: `${directory}/vmlinux`,
    manifest: `${directory}/manifest.json`,
  };
}

/** Links to what is made from an image, one for each VM of each home that shares it. */
export const imageUses = (home: Home, id: ImageId): string => `${imageHandles(home, id).directory}/used-by`;

/** The link of one VM; homes may have VMs of the same id, so that `mark` tells the homes apart. */
export const imageUse = (home: Home, imageId: ImageId, vmId: VmId, mark: string): string =>
  `${imageUses(home, imageId)}/${vmId}-${mark}`;

/** What a directory below images/ or kernels/ is: an image, the half-built form of one, or nothing of ours. */
export function parseImageDirectory(name: string): { id: ImageId; partial: boolean } | undefined {
  const partial = name.endsWith(partialSuffix);
  const id = partial ? name.slice(0, -partialSuffix.length) : name;
  return /^[a-z0-9][a-z0-9.-]*-[0-9a-f]{8}$/.test(id) ? { id, partial } : undefined;
}

export const isVmId = (name: string): boolean => /^[0-9a-f]{8}$/.test(name);

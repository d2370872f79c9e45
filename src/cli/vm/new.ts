/** What `vm run` and `vm create` share: flags, defaults, the missing image, and the create that can be sent again. */
import type { VmCreate, VmView } from "../../contract/contract.js";
import type { DefaultsView } from "../../contract/daemon.js";
import { limits } from "../../contract/limits.js";
import { pause } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import { formatSize, parseDuration, parseSize } from "../../lib/sizes.js";
import { usageError } from "../base/check.js";
import { type Context, call, say } from "../base/context.js";
import { labelFlag, labelsOf } from "../base/filter.js";
import { settle } from "../base/follow.js";
import { sizeFlag } from "../base/numbers.js";
import { pullImage } from "../image/pulling.js";
import { type StageReport, stageReport } from "../render/stages.js";
import { progressOutput, styleFor } from "../render/style.js";
import { specText } from "../render/vm.js";
import { awaitBoot, type WaitUntil, waitFlag } from "./boot-wait.js";
import { type Hold, holdVm } from "./hold.js";
import { netChangeOf, netFlags } from "./net-flags.js";

export const imageEnvFlag = {
  type: "string",
  valueHint: "on|off",
  description: "Whether commands use the container image's environment, directory and user (default: on)",
} as const;

export const newVmFlags = {
  ...waitFlag,
  name: { type: "string", valueHint: "NAME", description: "Name (default: two random words)" },
  image: {
    type: "string",
    valueHint: "IMAGE",
    description: "Image name or id (default: the configured image)",
  },
  vcpu: { type: "string", valueHint: "N", description: "Virtual CPUs" },
  memory: { type: "string", valueHint: "SIZE", description: "Memory, such as 512M or 4G" },
  "disk-size": { type: "string", valueHint: "SIZE", description: "Size of the work disk at /root" },
  "root-size": {
    type: "string",
    valueHint: "SIZE",
    description: "Size of the root disk at /, in user mode (default: the image's)",
  },
  ...netFlags,
  nat: { type: "boolean", valueHint: "both", description: "Same as --net public or --net none" },
  force: { type: "boolean", description: "Even if this machine has too little memory or disk space" },
  "image-env": imageEnvFlag,
  label: labelFlag,
  ttl: {
    type: "string",
    valueHint: "DURATION",
    description: "Delete the VM after this time, such as 30m or 8h",
  },
} as const;

/** What `--image-env` says, where it says anything. @throws BangerError `usage` */
export function imageEnvOf(value: string | undefined): { imageEnv?: boolean } {
  if (value === undefined) return {};
  if (value === "on" || value === "off") return { imageEnv: value === "on" };
  throw usageError(`--image-env: "${value}" is not on or off`, "--image-env off");
}

export interface NewVmFlags {
  ttl?: string | undefined;
  wait?: string | undefined;
  name?: string | undefined;
  image?: string | undefined;
  vcpu?: string | undefined;
  memory?: string | undefined;
  "disk-size"?: string | undefined;
  "root-size"?: string | undefined;
  net?: string | undefined;
  nat?: boolean | undefined;
  force?: boolean | undefined;
  "image-env"?: string | undefined;
}

/** Every value of flags that can be given again. */
export type Given = Readonly<Record<string, readonly string[] | undefined>>;

/** The fields that the flags set. @throws BangerError `usage` */
export function specOf(flags: NewVmFlags, all: Given = {}): VmCreate["spec"] {
  const { vcpu, memory, "disk-size": diskSize, "root-size": rootSize } = flags;
  const { minimum, maximum } = limits.vcpu;
  if (vcpu !== undefined && !(/^\d{1,4}$/.test(vcpu) && Number(vcpu) >= minimum && Number(vcpu) <= maximum)) {
    throw usageError(`--vcpu: "${vcpu}" is not a number from ${minimum} to ${maximum}`, "--vcpu 2");
  }
  return {
    ...(vcpu !== undefined && { vcpu: Number(vcpu) }),
    ...(memory !== undefined && { memoryMiB: sizeFlag("memory", memory, limits.memoryMiB) }),
    ...(diskSize !== undefined && { diskMiB: sizeFlag("disk-size", diskSize, limits.diskMiB) }),
    ...(rootSize !== undefined && { rootMiB: sizeFlag("root-size", rootSize, limits.diskMiB) }),
    ...netChangeOf(flags, all),
    ...imageEnvOf(flags["image-env"]),
  };
}

/** Long enough that a guest can boot and answer. @throws BangerError `usage`, `bad_duration` */
function ttlFlag(text: string): number {
  const ttlMs = parseDuration(text);
  if (ttlMs >= 1000) return ttlMs;
  throw usageError(`--ttl: ${text} is shorter than a second`, "--ttl 30m");
}

const mostSends = 4;
const againMs = 100;
const uninterrupted = new AbortController().signal;

/** Creates the VM once: when the connection breaks the same command is sent again, and creates nothing twice. */
async function sendCreate(context: Context, body: VmCreate, hold?: Hold): Promise<VmView> {
  for (let sent = 1; ; sent++) {
    try {
      await hold?.ready();
      // Ctrl-C does not end this: what was created must be known, to be deleted or named to the user.
      return await call(context, "vmCreate", { body, signal: uninterrupted });
    } catch (error) {
      const lost = error instanceof BangerError && ["daemon_lost", "client_gone"].includes(error.code);
      if (!lost || sent >= mostSends) throw error;
    }
    await pause(againMs);
  }
}

interface CreateOptions {
  start: boolean;
  quiet: boolean;
  all: Given;
  /** The VM goes with this process; `always`: also one whose guest never became reachable. */
  hold?: { always: boolean } | undefined;
}

/** Creates, and says what; an image that is missing is pulled first. */
export async function createVm(
  context: Context,
  flags: NewVmFlags,
  { hold: wish, ...options }: CreateOptions,
): Promise<VmView> {
  const commandId = context.clock.hex(16);
  const body: VmCreate = {
    commandId,
    ...(wish && { held: true }),
    ...(flags.name !== undefined && { name: flags.name }),
    ...(flags.image !== undefined && { image: flags.image }),
    spec: specOf(flags, options.all),
    start: options.start,
    ...(options.all["label"] && { labels: labelsOf(options.all["label"]) }),
    ...(flags.ttl !== undefined && { ttlMs: ttlFlag(flags.ttl) }),
    ...(flags.force === true && { force: true }),
  };
  const hold = wish && (await holdVm(context, commandId, wish.always));
  const saySpec = (spec: Parameters<typeof specText>[0]) => {
    if (!options.quiet) say(context, `spec: ${specText(spec)}`);
  };
  try {
    const vm = await sendCreate(context, body, hold);
    saySpec(vm.spec);
    if (!options.quiet) await warnOfDisk(context, vm.spec);
    return vm;
  } catch (error) {
    const missing = error instanceof BangerError && error.code === "image_missing";
    if (!missing) throw error;
  }
  const defaults = await call(context, "defaults");
  saySpec(withDefaults(body.spec, defaults));
  const { id } = await pullImage(context, flags.image ?? defaults.image, options.quiet);
  return sendCreate(context, { ...body, image: id }, hold);
}

/** Disks take only what is written: a large one is fine, but no space is reserved for it. */
export async function warnOfDisk(
  context: Context,
  { diskMiB = 0, rootMiB = 0 }: Partial<VmView["spec"]>,
): Promise<void> {
  const largest = Math.max(diskMiB, rootMiB);
  const { diskMiB: disk } = (await call(context, "daemon")).room;
  if (disk === null || largest <= disk.free) return;
  const sizes = `of ${formatSize(largest)} is larger than what is free here, ${formatSize(disk.free)}`;
  say(context, `warning: a disk ${sizes}: a guest that fills it is paused until there is space`);
}

const withDefaults = (spec: VmCreate["spec"], defaults: DefaultsView) => ({
  vcpu: spec.vcpu ?? defaults.vcpu.value,
  memoryMiB: spec.memoryMiB ?? defaults.memoryMiB.value,
  diskMiB: spec.diskMiB ?? defaults.diskMiB.value,
  ...(spec.rootMiB !== undefined && { rootMiB: spec.rootMiB }),
});

/** Returns when the VM's guest answers, or has booted. @throws BangerError with the step that failed */
export async function waitUntilReady(
  context: Context,
  vm: VmView,
  quiet: boolean,
  until: WaitUntil,
): Promise<void> {
  const report = startReport(context, quiet);
  try {
    let failure: BangerError | undefined;
    // From the stream's beginning, which is short for a new VM: a reply may be older than the seq that it carries.
    await settle(
      context,
      [{ id: vm.id, goal: "running", after: 0 }],
      (_id, verdict) => {
        if (verdict !== "done") failure = verdict;
      },
      report.see,
    );
    if (failure !== undefined) throw failure;
    if (until === "boot") await awaitBoot(context, [vm], quiet);
  } finally {
    report.close();
  }
}

export function startReport(context: Context, quiet: boolean): StageReport {
  const { clock, env } = context;
  const output = progressOutput(context);
  return stageReport({ output, clock, quiet, keep: false, style: styleFor(output, env) });
}

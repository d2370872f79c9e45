/** Makes the root disk of an image: mmdebstrap unpacks Debian, the recipe's scripts trim it and write it as ext4. */
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { BangerError } from "../lib/errors.js";
import type { PackageSources } from "./apt-sources.js";
import { buildFailure } from "./build-failure.js";
import type { ResolvedRecipe } from "./catalog.js";

export interface RootfsJob {
  resolved: ResolvedRecipe;
  sources: PackageSources;
  /** The ext4 file to write. */
  output: string;
  /** Directory for the unpacked tree, which the build's own user can enter. */
  scratch: string;
  environment: Readonly<Record<string, string>>;
  /** As root of this machine, or as root of a user namespace. */
  mode: "root" | "unshare";
  stage: (stage: BuildStage, detail?: string) => void;
}

export const buildStages = ["download", "unpack", "configure", "disk", "kernel"] as const;
export type BuildStage = (typeof buildStages)[number];

/** Files that no program reads, left out of the image; licences stay. */
const leftOut = [
  "path-exclude=/usr/share/doc/*",
  "path-include=/usr/share/doc/*/copyright",
  "path-exclude=/usr/share/info/*",
  "path-exclude=/usr/share/locale/*",
  "path-include=/usr/share/locale/locale.alias",
];
/** Left out of images whose recipe does not ask for them. */
const manuals = "path-exclude=/usr/share/man/*";

/** Arguments of mmdebstrap; sources come on its standard input, the disk goes to file descriptor 3. Pure. */
function mmdebstrapArgv(job: Pick<RootfsJob, "resolved" | "sources" | "mode">): string[] {
  const { recipe, suite, customize, writeDisk } = job.resolved;
  return [
    `--mode=${job.mode}`,
    `--variant=${recipe.variant}`,
    "--format=null",
    "--skip=cleanup",
    `--include=${recipe.packages.join(",")}`,
    ...["force-unsafe-io", ...leftOut, ...(recipe.manuals ? [] : [manuals])].map(
      (option) => `--dpkgopt=${option}`,
    ),
    ...job.sources.transport.map((option) => `--aptopt=${option}`),
    `--customize-hook=${customize}`,
    `--customize-hook=rootfs_mib=${recipe.rootfsMiB}\n${writeDisk}`,
    suite,
    "/dev/null",
    "-",
  ];
}

/** What mmdebstrap says when it begins a part of its work. */
const milestones: readonly [RegExp, BuildStage, string][] = [
  [/^I: running apt-get update/, "download", "package lists"],
  [/^I: downloading packages/, "download", "base packages"],
  [/^I: extracting archives/, "unpack", "base packages"],
  [/^I: installing essential packages/, "unpack", "essential packages"],
  [/^I: installing remaining packages/, "unpack", "remaining packages"],
  [/^I: running --customize-hook in shell: sh -c 'rootfs_mib=/, "disk", "writing the root disk"],
  [/^I: running --customize-hook/, "configure", "trimming for a fast boot"],
];

/** The stage that a line of mmdebstrap's output begins, if any. */
export function stageOf(line: string): [BuildStage, string] | undefined {
  const found = milestones.find(([pattern]) => pattern.test(line));
  return found === undefined ? undefined : [found[1], found[2]];
}

/** Of what led to the first failure, and of what followed from it. */
const rememberedLines = 60;
/** mmdebstrap, told to end, takes its tree away; so it is told also when the builder is killed. */
const dieWithBuilder = ["--pdeathsig", "TERM"];
/**
 * As root mmdebstrap mounts /proc, /sys and more where it is: in a namespace that ends with its last process, so that
 * no kill can leave them on the host. In a user namespace it makes one by itself.
 */
const ownMounts = ["unshare", "--mount", "--propagation", "private"];

/**
 * @throws BangerError `tool_missing`, `disk_full`, `mirror_untrusted`, `mirror_unreachable`, `mirror_refused`,
 *   `namespaces_unusable`, `image_build_failed`.
 */
export async function makeRootfs(job: RootfsJob): Promise<void> {
  const disk = await open(job.output, "wx", 0o600);
  const lines: string[] = [];
  let failed = false;
  try {
    // In a namespace the writer is another user; the directories around the file keep everybody else away.
    if (job.mode === "unshare") await disk.chmod(0o666);
    const mmdebstrap = [...(job.mode === "root" ? ownMounts : []), "mmdebstrap", ...mmdebstrapArgv(job)];
    const child = spawn("setpriv", [...dieWithBuilder, ...mmdebstrap], {
      env: { ...job.environment, TMPDIR: job.scratch, INITRD: "No" },
      cwd: "/",
      stdio: ["pipe", "ignore", "pipe", disk.fd],
    });
    const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve([code, signal]));
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(job.sources.list);
    for await (const line of createInterface({ input: child.stderr as NodeJS.ReadableStream })) {
      failed ||= line.startsWith("E: ");
      if (!failed && lines.length >= rememberedLines) lines.shift();
      if (lines.length < 2 * rememberedLines) lines.push(line);
      const reached = stageOf(line);
      if (reached !== undefined) job.stage(...reached);
    }
    const [code, signal] = await ended;
    if (signal !== null)
      throw new BangerError("image_build_failed", `mmdebstrap was ended by ${signal}`, { retry: "later" });
    if (code !== 0)
      throw buildFailure(lines, dirname(job.output), new Error(`mmdebstrap exited with ${code}`));
    await disk.chmod(0o600);
    await disk.sync();
  } finally {
    await disk.close();
  }
}

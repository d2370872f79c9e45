/** Fetches one package of the Debian archive by an apt of its own, which checks it; the host's stays as it is. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { asEnvironment } from "../../host/proxies.js";
import { BangerError } from "../../lib/errors.js";
import type { PackageSources } from "../apt-sources.js";
import { buildFailure } from "../build-failure.js";
import type { BuildContext } from "./build-context.js";

const downloadDeadlineMs = 30 * 60_000;

/** Configuration of an apt that knows nothing but `sources` and keeps everything below `root`. */
async function makeApt(root: string, sources: PackageSources): Promise<string> {
  for (const directory of ["state/lists/partial", "cache/archives/partial"])
    await mkdir(`${root}/${directory}`, { recursive: true });
  await writeFile(`${root}/sources.list`, sources.list);
  await writeFile(`${root}/status`, "");
  const own = {
    "Dir::State": `${root}/state`,
    "Dir::State::status": `${root}/status`,
    "Dir::Cache": `${root}/cache`,
    "Dir::Etc::sourcelist": `${root}/sources.list`,
    "Dir::Etc::sourceparts": "/dev/null",
    "APT::Architecture": "amd64",
    "APT::Architectures": "amd64",
    // Its own user may not enter this directory, which only this user may.
    "APT::Sandbox::User": "",
    "Acquire::Languages": "none",
  };
  const lines = Object.entries(own).map(([key, value]) => `${key} "${value}";`);
  await writeFile(`${root}/apt.conf`, `${[...lines, ...sources.transport].join("\n")}\n`);
  return `${root}/apt.conf`;
}

/** Packages without files of their own; what they stand for is their first dependency. */
const standsFor = /^Package: linux-(image-(cloud-)?amd64|source)$/m;
const dependency = /^Depends: ([a-z0-9][a-z0-9+.-]+)/m;

/**
 * Fetches `name`, or what it stands for, and unpacks it below `scratch`; returns where.
 * @throws BangerError `mirror_unreachable`, `mirror_refused`, `mirror_untrusted`, `tool_missing`, `disk_full`
 */
export async function fetchPackage(
  build: BuildContext,
  sources: PackageSources,
  name: string,
  scratch: string,
): Promise<string> {
  const { signal, stage } = build;
  const config = await makeApt(scratch, sources);
  const apt = async (script: string, ...argv: string[]): Promise<string> => {
    try {
      return await build.runTool({
        tool: "sh",
        argv: ["-ec", `cd "$1"; shift; ${script}`, "sh", scratch, ...argv],
        env: { ...asEnvironment(build.job.proxies), APT_CONFIG: config },
        writes: scratch,
        package: "apt",
        signal,
        deadlineMs: downloadDeadlineMs,
      });
    } catch (error) {
      if (!(error instanceof BangerError) || error.code !== "tool_failed") throw error;
      // The tool's own lines follow the first, which repeats its command.
      const [, ...lines] = String((error.cause as Error).message).split("\n");
      throw buildFailure(lines, scratch, error);
    }
  };
  // Without this apt is content with lists that it could not fetch, and then knows no package.
  await apt("apt-get -q update -o APT::Update::Error-Mode=any");
  const record = await apt(`apt-cache show --no-all-versions "$1"`, name);
  const meant = standsFor.test(record) ? (dependency.exec(record)?.[1] ?? name) : name;
  stage("download", meant);
  await apt(`apt-get -q download "$1"`, meant);
  const file = (await readdir(scratch)).find((each) => each.endsWith(".deb"));
  if (file === undefined) throw new BangerError("internal", `apt-get did not download ${meant}`);
  const root = `${scratch}/root`;
  await build.runTool({
    tool: "dpkg-deb",
    argv: ["-x", `${scratch}/${file}`, root],
    writes: scratch,
    package: "dpkg",
    signal,
    deadlineMs: downloadDeadlineMs,
  });
  return root;
}

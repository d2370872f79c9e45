/** Where packages come from: what the host's own apt is configured to use, for its own release of Debian. */
import { readFile } from "node:fs/promises";
import type { RunTool } from "../host/run-tool.js";
import { BangerError } from "../lib/errors.js";

/** What `apt-get indextargets` is asked to say of each package index, fields separated by tabs. */
const indexTargetFormat = [
  "$(CREATED_BY)",
  "$(CODENAME)",
  "$(COMPONENT)",
  "$(REPO_URI)",
  "$(RELEASE)",
  "$(SOURCESENTRY)",
].join("\t");

export interface IndexTarget {
  uri: string;
  release: string;
  /** File of the source entry, and after the last colon where in it. */
  entry: string;
}

/** Security updates come from a release of their own. */
const parts = ["", "-updates", "-security"];

/** The package indexes of component main that belong to `suite`, each once, in apt's order. */
export function parseIndexTargets(text: string, suite: string): IndexTarget[] {
  const targets = new Map<string, IndexTarget>();
  for (const line of text.split("\n")) {
    const [createdBy, codename, component, uri, release, entry] = line.split("\t");
    if (createdBy !== "Packages" || component !== "main" || !uri || !release) continue;
    if (!parts.some((part) => codename === `${suite}${part}`)) continue;
    targets.set(`${uri} ${release}`, { uri, release, entry: entry ?? "" });
  }
  return [...targets.values()];
}

/** The options of the source that fetches from `uri`, as a one-line source has them: its key, or trust without one. */
export function sourceOptions(sources: string, uri: string): string[] {
  const bare = (text: string) => text.replace(/\/+$/, "");
  const blocks = sources
    .split(/\n\s*\n/)
    .flatMap((block) => (/^\s*deb\s/m.test(block) ? block.split("\n") : [block]));
  const mine = blocks.find((block) => block.split(/\s+/).some((word) => bare(word) === bare(uri))) ?? "";
  const key = /signed-by\s*[:=]\s*"?(\/[^\]\s",]+)/i.exec(mine)?.[1];
  const trusted = /^trusted:\s*yes|\[[^\]]*trusted=yes/im.test(mine);
  return [...(key === undefined ? [] : [`signed-by="${key}"`]), ...(trusted ? ["trusted=yes"] : [])];
}

/** One line of sources.list. */
function sourceLine(uri: string, release: string, options: readonly string[]): string {
  return `deb ${options.length > 0 ? `[${options.join(" ")}] ` : ""}${uri} ${release} main`;
}

/** How the host's apt reaches its servers, as options for another apt: proxies, certificates, retries. */
export function parseTransport(aptConfigDump: string): string[] {
  const wanted = /^(Acquire::(?:https?::(?!User-Agent)\S+|Retries)|Dir::Etc::netrc(?:parts)?) "(.*)";$/;
  return aptConfigDump.split("\n").flatMap((line) => {
    const [, key, value] = wanted.exec(line) ?? [];
    if (key === undefined || value === undefined || value === "") return [];
    const absolute = key.startsWith("Dir::") && !value.startsWith("/") ? `/etc/apt/${value}` : value;
    return [`${key} "${absolute}";`];
  });
}

/** Debian's release name of this host, e.g. "bookworm"; undefined on any other system. */
export function parseSuite(osRelease: string): string | undefined {
  const value = (key: string) => new RegExp(`^${key}="?([^"\n]*)"?$`, "m").exec(osRelease)?.[1];
  const codename = value("VERSION_CODENAME");
  return value("ID") === "debian" && codename !== undefined && codename !== "" ? codename : undefined;
}

const orUndefined = (path: string): Promise<string | undefined> =>
  readFile(path, "utf8").catch(() => undefined);

export async function readSuite(): Promise<string | undefined> {
  const text = (await orUndefined("/etc/os-release")) ?? (await orUndefined("/usr/lib/os-release"));
  return text === undefined ? undefined : parseSuite(text);
}

const debianKeyrings = ["gpg", "pgp"].map((ending) => `/usr/share/keyrings/debian-archive-keyring.${ending}`);

async function debianKey(): Promise<string[]> {
  for (const path of debianKeyrings)
    if ((await orUndefined(path)) !== undefined) return [`signed-by="${path}"`];
  return [];
}

export interface PackageSources {
  /** Content of a sources.list. */
  list: string;
  /** Options for apt. */
  transport: string[];
}

/**
 * The sources for `suite`: `mirror` (a URL) when set, else those of the host's apt.
 * @throws BangerError `mirror_unknown` when the host's apt has no source for `suite`, or no lists yet.
 */
export async function packageSources(
  suite: string,
  mirror: string | null,
  runTool: RunTool,
  signal: AbortSignal,
): Promise<PackageSources> {
  const apt = (tool: string, ...argv: string[]) =>
    runTool({ tool, argv, writes: "/tmp", package: "apt", signal });
  const transport = parseTransport(await apt("apt-config", "dump"));
  if (mirror !== null) return { list: `${sourceLine(mirror, suite, await debianKey())}\n`, transport };
  const text = await apt("apt-get", "indextargets", "--format", indexTargetFormat);
  if (text.trim() === "")
    throw new BangerError("mirror_unknown", "this host's apt has not fetched its package lists yet", {
      hint: 'sudo apt-get update; or set mirror = "https://…" (a Debian mirror) in the configuration',
    });
  const targets = parseIndexTargets(text, suite);
  if (!targets.some(({ release }) => !/-(updates|security)$/.test(release)))
    throw new BangerError("mirror_unknown", `this host's apt has no source for Debian ${suite}`, {
      hint: 'set mirror = "https://…" (a Debian mirror) in the configuration',
    });
  const lines = await Promise.all(
    targets.map(async ({ uri, release, entry }) => {
      const file = await orUndefined(entry.replace(/:\d+$/, ""));
      return sourceLine(uri, release, file === undefined ? [] : sourceOptions(file, uri));
    }),
  );
  return { list: `${lines.join("\n")}\n`, transport };
}

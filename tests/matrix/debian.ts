/** A Debian that this host is not, in a container: what a newcomer does there first, as root and as an ordinary user. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { fileURLToPath } from "node:url";
import { toolEnvironment, toolRunner } from "../../src/host/run-tool.js";
import { packageSources, readSuite } from "../../src/images/apt-sources.js";
import { goesWithUs } from "../e2e/harness.js";
import { checkout, copyCheckout, type Part, type Place, run } from "./parts.js";

const suite = "trixie";
/** Their first run has the set-up fetch Node; once its npm has brought Debian's own Node, the second one has that. */
const users = ["root", "newcomer"] as const;
const container = fileURLToPath(new URL("../../../tests/matrix/container.sh", import.meta.url));
const trial = fileURLToPath(new URL("../../../tests/matrix/trial.sh", import.meta.url));
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What setup.sh would fetch at each run; npm, which brings a Node, is left to it. */
const packages = (/^packages="(.*)"$/m.exec(readFileSync(`${checkout}setup.sh`, "utf8"))?.[1] ?? "").split(
  " ",
);

/** The suite's sources, where this host's apt gets its own suite's from. */
async function sources(): Promise<{ list: string; transport: string[] }> {
  const own = await readSuite();
  if (own === undefined)
    throw new Error("this host is no Debian whose mirror could be asked for another one");
  const found = await packageSources(
    own,
    null,
    toolRunner(process.env["PATH"] ?? ""),
    AbortSignal.timeout(60_000),
  );
  return { ...found, list: found.list.replaceAll(` ${own}`, ` ${suite}`) };
}

/** A tar of the Debian that a newcomer has, and what the set-up installs into it: a new one each month. */
async function baseOf({ cache, log }: Place): Promise<string> {
  const month = new Date().toISOString().slice(0, 7);
  const hash = createHash("sha256").update(packages.join(" ")).digest("hex").slice(0, 8);
  const path = `${cache}/${suite}-${month}-${hash}.tar`;
  if (existsSync(path)) return path;
  const { list, transport } = await sources();
  const argv = [
    ...["--mode=root", "--variant=minbase", "--format=tar", "--dpkgopt=force-unsafe-io"],
    `--include=${["ca-certificates", ...packages].join(",")}`,
    ...transport.map((option) => `--aptopt=${option}`),
    ...[suite, `${path}.partial`, "-"],
  ];
  const env = { ...process.env, ...toolEnvironment(process.env["PATH"] ?? "") };
  await run("mmdebstrap", argv, { env, log, input: list });
  renameSync(`${path}.partial`, path);
  return path;
}

/** Names and certificates are this host's. */
async function asThisHost(root: string, log: number): Promise<void> {
  for (const path of ["/etc/resolv.conf", "/etc/hosts", "/usr/local/share/ca-certificates", "/etc/ssl/certs"])
    if (existsSync(path)) await run("cp", ["-rLT", "--remove-destination", path, `${root}${path}`], { log });
}

/** What this host reaches registries by; nothing else of its environment gets into the container. */
function reach(): NodeJS.ProcessEnv {
  const registry = execFileSync("npm", ["config", "get", "registry"], { encoding: "utf8" }).trim();
  const kept = /^(https?_proxy|no_proxy|npm_config_.*|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR))$/i;
  const own = Object.entries(process.env).filter(([name]) => kept.test(name));
  return { ...Object.fromEntries(own), npm_config_registry: registry };
}

const homeOf = (user: string): string => (user === "root" ? "/root" : `/home/${user}`);

/** Runs words as that user of the tree. */
function inTree(root: string, user: string, words: readonly string[], log: number, directory = "/") {
  const home = homeOf(user);
  const asUser = ["runuser", "-u", user, "--", "env", "-C", directory, ...words];
  const env = { ...reach(), HOME: home, PATH: searchPath, LC_ALL: "C.UTF-8", BANGER_MODE: "user" };
  const own = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
  return run("unshare", [...own, "sh", container, root, ...asUser], { env, log });
}

let root: string | undefined;
let made: Promise<void> | undefined;

/** The one container of all of this run's parts. */
async function make(at: string, place: Place): Promise<void> {
  const { log } = place;
  await run("tar", ["-x", "--numeric-owner", "-f", await baseOf(place), "-C", at], { log });
  await asThisHost(at, log);
  for (const user of users) {
    const home = `${at}${homeOf(user)}`;
    mkdirSync(`${home}/banger`, { recursive: true });
    copyCheckout(`${home}/banger`);
    cpSync(trial, `${home}/trial.sh`);
  }
  const account = `useradd --shell /bin/sh ${users[1]}; chown -R ${users[1]}: ${homeOf(users[1])}`;
  await inTree(at, "root", ["sh", "-ec", `${account}; apt-get update -q`], log);
}

async function tryAs(user: string, place: Place): Promise<void> {
  if (root === undefined) {
    root = mkdtempSync("/var/tmp/banger-matrix-");
    goesWithUs(root);
    chmodSync(root, 0o755);
  }
  made ??= make(root, place);
  await made;
  // An ordinary user may not, and the set-up says so.
  if (user !== "root")
    await inTree(root, "root", ["apt-get", "install", "-yq", "--no-install-recommends", "npm"], place.log);
  await inTree(root, user, ["sh", "../trial.sh"], place.log, `${homeOf(user)}/banger`);
}

export function endContainer(): void {
  if (root !== undefined) rmSync(root, { recursive: true, force: true });
}

export const debianParts: readonly Part[] = users.map((user) => ({
  name: `debian-13-${user}`,
  what: `make try and a patch brought home on Debian 13 with its QEMU, as ${user}`,
  left: process.getuid?.() === 0 ? undefined : "root is needed to make the container",
  run: (place) => tryAs(user, place),
}));

/** The host of a test of the helper: its tools, what its network looks like, and who banger's owner is there. */
import { execFile, execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Metadata } from "../../helper/metadata.js";
import type { HelperContext } from "../../helper/method.js";
import { HostFailure } from "../../helper/refusal.js";
import type { RunTool } from "../../helper/tools.js";

export const owner = { uid: 4242, gid: 4243, name: "owner" };

export const metadata: Metadata = {
  version: "0.0.0",
  owner,
  home: {
    state: "/var/lib/banger/state",
    data: "/var/lib/banger/data",
    cache: "/var/cache/banger",
    config: "/home/owner/.config/banger",
    runtime: "/run/banger",
  },
  network: { bridge: "br-fc", address: "172.16.0.1", prefixLength: 24 },
  firecracker: null,
  jailer: null,
};

const runTool: RunTool = (tool, argv, { input = "", goodStatus = [0] } = {}) =>
  new Promise((resolve, reject) => {
    const child = execFile(
      tool,
      [...argv],
      { env: { ...process.env, LC_ALL: "C" } },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : error.code;
        if (status === "ENOENT") reject(new HostFailure("tool_missing", `${tool} is not installed`, "never"));
        else if (typeof status === "number" && goodStatus.includes(status))
          resolve({ status, stdout, stderr });
        else reject(new HostFailure("tool_failed", `${tool} ${argv.join(" ")}: ${stderr}`));
      },
    );
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });

export interface TestContext extends HelperContext {
  /** Every tool that was run, with its arguments. */
  calls: string[];
}

export interface Differences {
  metadata?: Partial<Metadata>;
  /** Tools that this host has not. */
  without?: readonly string[];
  /** Called before each tool is run, with how many were run before; what it throws is the tool's failure. */
  before?: (count: number, call: string) => void;
}

export function contextOf({ metadata: more, without = [], before }: Differences = {}): TestContext {
  const calls: string[] = [];
  const run: RunTool = async (tool, argv, options) => {
    if (without.includes(tool)) throw new HostFailure("tool_missing", `${tool} is not installed`, "never");
    const call = [tool, ...argv].join(" ");
    before?.(calls.length, call);
    calls.push(call);
    return runTool(tool, argv, options);
  };
  return { metadata: { ...metadata, ...more }, run, signal: new AbortController().signal, calls };
}

/** Runs a command of the test's own. */
export const sh = (command: string): string =>
  execFileSync("sh", ["-ec", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** iptables on nftables never takes the kernel's own chains away again. */
const withoutEmptyTables = (rules: string): string => {
  const tables = rules.split(/^(?=table )/m);
  return tables.filter((each) => each.split("\n").some((line) => /^\t\t(?!type |})/.test(line))).join("");
};

/** Everything that banger may change in a network namespace, as text that two moments can be compared by. */
export function snapshot({ emptyTables = true } = {}): string {
  const links = JSON.parse(sh("ip -j -d addr")) as Record<string, unknown>[];
  const still = links
    .map(({ ifindex: _index, link_index: _peer, ...link }) => link)
    .sort((one, other) => `${one["ifname"]}`.localeCompare(`${other["ifname"]}`));
  const forward = readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8");
  const legacy = sh("iptables -S; iptables -t nat -S; iptables -t raw -S");
  const listed = sh("nft -s list ruleset");
  const rules = emptyTables ? listed : withoutEmptyTables(listed);
  return JSON.stringify({ links: still, rules, legacy, forward }, withoutTimers, 1);
}

const withoutTimers = (key: string, value: unknown): unknown => (/timer$/.test(key) ? undefined : value);

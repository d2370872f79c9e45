/** The host of a test of the helper: its tools, what its network looks like, and who banger's owner is there. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Metadata } from "../../helper/metadata.js";
import type { HelperContext } from "../../helper/method.js";
import { type RunTool, type ToolName, toolRunner, toolsOf } from "../../helper/tools.js";
import { systemClock } from "../../src/lib/clock.js";
import { metadataOf } from "./metadata.js";

export const metadata: Metadata = metadataOf("/var/lib/banger", 4242);
export const { owner } = metadata;

export interface TestContext extends HelperContext {
  /** Every tool that was run, with its arguments. */
  calls: string[];
}

export interface Differences {
  metadata?: Partial<Metadata>;
  /** Tools that this host has not. */
  without?: readonly ToolName[];
  /** Called before each tool is run, with how many were run before; what it throws is the tool's failure. */
  before?: (count: number, call: string) => void;
}

export function contextOf({ metadata: more, without = [], before }: Differences = {}): TestContext {
  const calls: string[] = [];
  const { signal } = new AbortController();
  const none = Object.fromEntries(without.map((name) => [name, { paths: [], hint: "" }]));
  const runTool = toolRunner(systemClock, signal, { ...toolsOf(metadata), ...none });
  const run: RunTool = async (tool, argv, options) => {
    const call = [tool, ...argv].join(" ");
    before?.(calls.length, call);
    const result = await runTool(tool, argv, options);
    calls.push(call);
    return result;
  };
  return { metadata: { ...metadata, ...more }, run, signal, calls };
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

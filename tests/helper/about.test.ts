/** What the helper says of itself and its host, by what the host's tools answer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { about } from "../../helper/methods/about.js";
import { HostFailure, Refusal } from "../../helper/refusal.js";
import type { RunTool, ToolName } from "../../helper/tools.js";
import { metadataOf } from "./metadata.js";

const missing = (name: string) => new HostFailure("tool_missing", `${name} is not installed`, "never");
const broken = new HostFailure("tool_failed", "no");
const signal = new AbortController().signal;

/** A host on which these tools answer so, and no others are. */
function asked(tools: Partial<Record<ToolName, string | Error>>) {
  const run: RunTool = async (name) => {
    const answer = tools[name] ?? missing(name);
    if (typeof answer !== "string") throw answer;
    return { status: 0, stdout: answer, stderr: "" };
  };
  return about({}, { metadata: metadataOf(), run, signal });
}

test("a bare host has nothing, a full one everything", async () => {
  const { version, ...bare } = await asked({});
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.deepEqual(bare, {
    deviceMapper: false,
    firewall: null,
    resolver: false,
    firecracker: null,
    problem: "firecracker is not installed",
  });
  const { version: _, ...full } = await asked({
    dmsetup: "Driver version: 4.47.0\n",
    nft: "",
    iptables: "",
    resolvectl: "",
    firecracker: "Firecracker v1.16.1\n\n2030-01-01T00:00:00 [main] exiting\n",
    jailer: "Jailer v1.16.1\n",
  });
  assert.deepEqual(full, {
    deviceMapper: true,
    firewall: "nft",
    resolver: true,
    firecracker: "1.16.1",
    problem: null,
  });
});

test("iptables stands in for an nft that is not there, never for one that does not work", async () => {
  assert.equal((await asked({ iptables: "" })).firewall, "iptables");
  assert.equal((await asked({ nft: broken, iptables: "" })).firewall, null);
  assert.equal((await asked({ iptables: broken })).firewall, null);
});

test("a Firecracker that cannot be used has its reason", async () => {
  const firecracker = "Firecracker v1.16.1\n";
  const table: [Partial<Record<ToolName, string | Error>>, RegExp][] = [
    [{ firecracker }, /^jailer is not installed$/],
    [{ firecracker, jailer: "Jailer v1.10.0\n" }, /^firecracker is version 1\.16\.1, jailer is 1\.10\.0$/],
    [{ firecracker, jailer: "?" }, /jailer is unknown$/],
    [{ firecracker: "?", jailer: "Jailer v1.10.0\n" }, /does not report its version$/],
    [
      { firecracker: new Refusal("root-writable", "/x is writable by users other than root") },
      /^\/x is writable/,
    ],
  ];
  for (const [tools, problem] of table) {
    const found = await asked(tools);
    assert.equal(found.firecracker, null);
    assert.match(found.problem ?? "", problem);
  }
});

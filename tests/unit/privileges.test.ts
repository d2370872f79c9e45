/** The page on privileges against the contract of the helper, the rules in its source, and the units. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { methods } from "../../helper/contract.js";
import { systemHome } from "../../src/home/handles.js";
import { helperCapabilities, unitsOf } from "../../src/system/units.js";

const root = new URL("../../../", import.meta.url).pathname;
const document = readFileSync(join(root, "docs/privileges.md"), "utf8");

/** Rows of the table in the section of that title, each cell on its own. */
function rows(title: string): string[][] {
  const [, section = assert.fail(title)] = document.split(`\n## ${title}\n`);
  const lines = (section.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("| "));
  return lines.slice(1).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const quoted = (text = ""): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort();

const calls = rows("Calls");
const rules = sorted(rows("Rules").flatMap(([rule]) => quoted(rule)));

test("every call of the contract has its row, and no other", () => {
  assert.deepEqual(sorted(calls.flatMap(([call]) => quoted(call))), sorted(Object.keys(methods)));
});

/** Text of every source file below a directory. */
function sources(directory: string): string[] {
  return readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return sources(path);
    return path.endsWith(".ts") ? [readFileSync(join(root, path), "utf8")] : [];
  });
}

test("the rules are those that the helper throws, and each call names none but them", () => {
  const thrown = sources("helper").flatMap((text) =>
    [...text.matchAll(/new Refusal\(\s*"([a-z-]+)"/g)].map(([, rule = ""]) => rule),
  );
  assert.ok(thrown.length > 30);
  assert.deepEqual(rules, sorted(thrown));
  for (const [call, , named] of calls)
    for (const rule of quoted(named)) assert.ok(rules.includes(rule), `${call}: ${rule}`);
});

test("the capabilities are the unit's, and those that calls use", () => {
  assert.deepEqual(sorted(rows("The helper's capabilities").flatMap(([name]) => quoted(name))), [
    ...helperCapabilities,
  ]);
  assert.deepEqual(sorted(calls.flatMap(([, , , , used]) => quoted(used))), [...helperCapabilities]);
});

const units = unitsOf(
  {
    version: "1.0.0",
    owner: { uid: 1000, gid: 1000, name: "OWNER" },
    home: systemHome("/home/OWNER/.config/banger"),
    network: { bridge: "br-fc", address: "172.16.0.1", prefixLength: 24 },
    ...{ firecracker: null, jailer: null },
  },
  { node: "/usr/bin/node", tree: "PREFIX", kvmGroup: true, legacyIptables: false },
);

/** Lines of a unit's section. */
const settings = (name: string, section: string): string[] =>
  (units[name]?.split(`[${section}]\n`)[1]?.split("\n\n")[0] ?? assert.fail(name)).trim().split("\n");

const letters = { d: "bangerd.service", h: "banger-helper.service", b: "banger-builder@.service" };

test("every setting of the services is explained, for the services that have it", () => {
  const explained = rows("Settings of the units");
  for (const [letter, unit] of Object.entries(letters)) {
    const said = explained.flatMap(([setting, of]) =>
      of?.split(" ").includes(letter) ? quoted(setting) : [],
    );
    assert.deepEqual(said.sort(), settings(unit, "Service").sort(), unit);
  }
  for (const [setting, of, why] of explained) assert.ok(of && why, setting);
  for (const unit of ["banger-helper.socket", "banger-builder.socket"]) {
    const [owner, ...others] = ["SocketUser=OWNER", "SocketMode=0600", "DirectoryMode=0755"];
    for (const line of [owner, ...others]) {
      assert.ok(settings(unit, "Socket").includes(line ?? ""), `${unit} ${line}`);
      assert.ok(document.includes(`\`${line}\``));
    }
  }
});

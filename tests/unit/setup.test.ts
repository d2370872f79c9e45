/** The set-up script: what it takes from a registry is what was pinned, and what another Node left behind is not used. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

const checkout = new URL("../../../", import.meta.url).pathname;
/** All but what the script does when it is run. */
const functions = readFileSync(`${checkout}setup.sh`, "utf8").split('\n[ "$(uname -m)"')[0] as string;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-setup-"));
  mkdirSync(join(directory, "bin"));
  cpSync(`${checkout}package-lock.json`, join(directory, "package-lock.json"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A program of that name that does this. */
function program(name: string, does: string): void {
  writeFileSync(join(directory, "bin", name), `#!/bin/sh\n${does}\n`, { mode: 0o755 });
}

function run(script: string): { status: number | null; stderr: string } {
  const env = {
    PATH: `${directory}/bin:${process.env["PATH"]}`,
    HOME: directory,
    XDG_CACHE_HOME: `${directory}/cache`,
  };
  const file = join(directory, "setup.sh");
  writeFileSync(file, `${functions}\n${script}\n`);
  const { status, stderr } = spawnSync("sh", [file], { env, cwd: directory, encoding: "utf8" });
  return { status, stderr };
}

test("a package of the registry is unpacked when it is the one that was pinned, and only then", () => {
  mkdirSync(join(directory, "package"));
  writeFileSync(join(directory, "package", "it"), "the package");
  execFileSync("tar", ["-czf", join(directory, "some-1.0.0.tgz"), "-C", directory, "package"]);
  program("npm", `[ "$1" = pack ] && [ "$3" = some@1.0.0 ] && cp ${directory}/some-1.0.0.tgz .`);
  const digest = createHash("sha512")
    .update(readFileSync(join(directory, "some-1.0.0.tgz")))
    .digest("base64");
  const other = createHash("sha512").update("another").digest("base64");
  const refused = run(`pinned some 1.0.0 sha512-${other}`);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /some 1\.0\.0 is not the package that was pinned/);
  assert.ok(!existsSync(join(directory, ".node/node_modules/some")));
  const taken = run(`pinned some 1.0.0 sha512-${digest}`);
  assert.equal(taken.status, 0, taken.stderr);
  assert.equal(readFileSync(join(directory, ".node/node_modules/some/it"), "utf8"), "the package");
  assert.ok(!existsSync(join(directory, ".node/unpack")));
});

/** Modules that load with this Node, or end it as those do that were compiled for another. */
function modules(place: string, works: boolean): void {
  const path = join(directory, place);
  mkdirSync(join(path, "better-sqlite3"), { recursive: true });
  mkdirSync(join(path, "koffi"), { recursive: true });
  writeFileSync(join(path, "koffi", "index.js"), "");
  const body = works ? "module.exports = () => ({ close() {} });" : 'process.kill(process.pid, "SIGSEGV");';
  writeFileSync(join(path, "better-sqlite3", "index.js"), body);
}

const npmInstalls = (from: string) =>
  program(
    "npm",
    `echo "npm notice $*" >&2; [ ! -e node_modules/old ] && cp -a ${directory}/${from} node_modules`,
  );

test("modules of another Node are installed anew, whatever the cache holds, and npm is heard", () => {
  modules("node_modules", false);
  writeFileSync(join(directory, "node_modules", "old"), "");
  writeFileSync(join(directory, "node_modules", ".banger-key"), "another");
  modules("good", true);
  npmInstalls("good");
  const first = run("ensure_node_modules");
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stderr, /npm notice ci /);
  const key = readFileSync(join(directory, "node_modules/.banger-key"), "utf8").trim();
  assert.match(key, new RegExp(`^[0-9a-f]{16}-${process.version}-x64$`));
  // The cache serves the next checkout, unless what it holds cannot be loaded.
  rmSync(join(directory, "node_modules"), { recursive: true });
  assert.doesNotMatch(run("ensure_node_modules").stderr, /npm/);
  rmSync(join(directory, "node_modules"), { recursive: true });
  modules(`cache/banger-build/${key}`, false);
  assert.match(run("ensure_node_modules").stderr, /npm notice ci /);
});

test("modules that cannot be loaded end the set-up, and nothing is kept of them", () => {
  modules("bad", false);
  npmInstalls("bad");
  const { status, stderr } = run("ensure_node_modules");
  assert.notEqual(status, 0);
  assert.match(stderr, /better-sqlite3 cannot be loaded/);
  assert.ok(!existsSync(join(directory, "cache/banger-build")));
});

test("the lock has the builds of every platform, as npm ci wants it, and no download address", () => {
  const text = readFileSync(`${checkout}package-lock.json`, "utf8");
  assert.doesNotMatch(text, /"resolved"/);
  const { packages } = JSON.parse(text) as {
    packages: Record<string, { optionalDependencies?: object; integrity?: string }>;
  };
  const names = new Set(Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, "")));
  const missing = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies).filter((name) => !names.has(name)),
  );
  assert.deepEqual(missing, []);
  const unpinned = Object.entries(packages).filter(
    ([path, { integrity }]) => path !== "" && integrity === undefined,
  );
  assert.deepEqual(unpinned, []);
});

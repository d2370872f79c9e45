/** What files say: no time or chance but from the clock, no place of the machine that wrote them, no dead link. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { linesOf, paths, read, root, typescript } from "./sources.js";

/** Calls that reach for time, chance or environment; a method of that name on something else is none. */
const ambient =
  /(?<![.\w])(Date\.now|Math\.random|setTimeout|setInterval|process\.env|performance\.now|new Date\(\))/;

/** May reach for it: they are where a program begins, or they are the clock. */
const atTheEdge: Readonly<Record<string, string>> = {
  "src/clock.ts": "it is the clock",
  "src/daemon-main.ts": "entry point",
  "src/cli/main.ts": "entry point",
  "src/images/builder-main.ts": "entry point",
  "helper/main.ts": "entry point",
  "src/start-daemon.ts": "measures its own wait for a process; the CLI has no simulated time",
};

test("time, chance and environment come from the clock and the entry points", () => {
  const found: string[] = [];
  for (const path of typescript("src", "helper")) {
    if (path in atTheEdge) continue;
    for (const [index, line] of linesOf(path).entries()) {
      if (ambient.test(line)) found.push(`${path}:${index + 1}: ${line.trim()}`);
    }
  }
  assert.deepEqual(found, []);
});

test("no test sleeps", () => {
  for (const path of typescript("tests/unit", "tests/sim")) {
    for (const [index, line] of linesOf(path).entries()) {
      assert.ok(!/timers\/promises.*setTimeout|await (sleep|delay)\(\d/.test(line), `${path}:${index + 1}`);
    }
  }
});

const texts = paths().filter((path) =>
  /\.(ts|js|json|md|c|h|sh|toml|sql|yaml|yml)$|Makefile$|^bin\//.test(path),
);

test("no file names a place of the machine that it was written on, nor a package mirror", () => {
  for (const path of texts) {
    if (path === "tests/tidy/content.test.ts") continue;
    for (const [index, line] of linesOf(path).entries()) {
      const place = /(^|[\s"'`(=:])\/(work|root\/\.(npm|cache)|home\/(user|ubuntu|node))\//.exec(line);
      const mirror = /https?:\/\/[^/\s"']*(registry|artifactory|nexus|npmjs|jfrog)/.exec(line);
      assert.ok(place === null && mirror === null, `${path}:${index + 1}: ${line.trim()}`);
    }
  }
});

test("the lock file pins digests and no place to fetch them from", () => {
  const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, Record<string, unknown>> };
  for (const [name, entry] of Object.entries(lock.packages)) {
    if (name === "") continue;
    assert.ok(!("resolved" in entry), `${name} has a place: remove "resolved" from package-lock.json`);
    assert.equal(typeof entry["integrity"], "string", name);
  }
});

test("every link of the documentation leads to a file, and every page has a link to it", () => {
  const pages = paths().filter((path) => path.endsWith(".md"));
  const linked = new Set<string>();
  for (const page of pages) {
    for (const [, target = ""] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const path = join(dirname(page), target);
      assert.ok(existsSync(join(root, path)), `${page} links to ${target}`);
      linked.add(path);
    }
  }
  if (!pages.includes("README.md")) return;
  for (const page of pages) {
    if (page.startsWith("docs/")) assert.ok(linked.has(page), `nothing links to ${page}`);
  }
});

test("every error code of docs/troubleshooting.md is one that the program has", () => {
  const sources = typescript("src").map(read).join("\n");
  const rows = linesOf("docs/troubleshooting.md").filter((line) => line.startsWith("| `"));
  const codes = rows.flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`([a-z]+(?:_[a-z]+)+)`/g)]);
  assert.ok(codes.length > 40);
  for (const [, code] of codes) assert.ok(sources.includes(`"${code}"`), code);
});

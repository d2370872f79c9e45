/** What files say: no time or chance but from the clock, no place of the machine that wrote them, no dead link. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { withCodes } from "../../docs/codes.js";
import { errorCodes } from "../../src/lib/error-codes.js";
import { importsOf, linesOf, paths, read, root, typescript } from "./sources.js";

/** Calls that reach for time, chance or environment; a method of that name on something else is none. */
const ambient =
  /(?<![.\w])(Date\.now|Math\.random|setTimeout|setInterval|process\.env|performance\.now|new Date\(\))/;

/** May reach for it: they are where a program begins, or they are the clock. */
const atTheEdge: Readonly<Record<string, string>> = {
  "src/lib/clock.ts": "it is the clock",
  "src/daemon/main.ts": "entry point",
  "src/cli/main.ts": "entry point",
  "src/images/builder/main.ts": "entry point",
  "helper/main.ts": "entry point",
  "src/client/start-daemon.ts": "measures its own wait for a process; the CLI has no simulated time",
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

test("every property counts how often it came to its subject", () => {
  const properties = typescript("tests").filter((path) =>
    importsOf(path).some(({ to }) => to === "fast-check"),
  );
  assert.ok(properties.length > 15, `${properties.length} files have properties`);
  for (const path of properties) {
    if (path === "tests/observations.ts") continue;
    const count = (word: RegExp): number => read(path).match(word)?.length ?? 0;
    assert.ok(count(/ = reached[<(]/g) >= count(/\bfc\.assert\(/g), `${path}: see tests/reached.ts`);
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

const table = /^src\/lib\/error-codes(-\w+)?\.ts$/;
const documented = new Set(Object.values(errorCodes).flatMap((chapter) => Object.keys(chapter)));

test("every error code that is raised is in the table; the compiler sees to those of src", () => {
  const raised = typescript("helper").flatMap((path) =>
    [...read(path).matchAll(/(?:new HostFailure\(|code: |: )\s*"([a-z]+(?:_[a-z]+)+)"/g)].map(
      ([, code]) => code as string,
    ),
  );
  assert.ok(raised.length > 15, `${raised.length} codes of the helper`);
  assert.deepEqual(
    raised.filter((code) => !documented.has(code)),
    [],
  );
  const agent = paths("guest-agent").filter((path) => path.endsWith(".c"));
  const refused = agent.flatMap((path) =>
    [...read(path).matchAll(/\bcode = "([a-z_]+)"/g)].map(([, code]) => `exec_${code}`),
  );
  assert.ok(refused.length > 5, `${refused.length} codes of the guest agent`);
  assert.deepEqual(
    refused.filter((code) => !documented.has(code)),
    [],
  );
});

test("every error code of the table is one that something raises", () => {
  const sources = [
    ...typescript("src", "helper").filter((path) => !table.test(path)),
    ...paths("guest-agent"),
  ];
  const text = sources.map(read).join("\n");
  // `${noun}_not_found` is one code for each noun.
  const spellings = (code: string) => [
    `"${code}"`,
    `"${code.replace(/^exec_/, "")}"`,
    `}${code.slice(code.indexOf("_"))}\``,
  ];
  const raised = (code: string) => spellings(code).some((spelling) => text.includes(spelling));
  assert.ok(documented.size > 150);
  assert.deepEqual(
    [...documented].filter((code) => !raised(code)),
    [],
  );
});

test("docs/troubleshooting.md has the table, and each code once", () => {
  const page = read("docs/troubleshooting.md");
  assert.equal(withCodes(page), page, "npm run docs");
  const codes = Object.values(errorCodes).flatMap((chapter) => Object.keys(chapter));
  assert.equal(codes.length, documented.size);
});

test("every invariant of ARCHITECTURE.md names a test that is there", () => {
  const text = read("ARCHITECTURE.md");
  const stated = text.match(/\*\*Invariant:\*\*/g) ?? [];
  const held = [...text.matchAll(/\*\*Invariant:\*\* [^\n]+\n {2}\[[^\]]+\]\(([^)]+)\): "([^"]+)"/g)];
  assert.ok(stated.length > 10, `${stated.length} invariants`);
  assert.equal(held.length, stated.length);
  for (const [, path = "", title = ""] of held) assert.ok(read(path).includes(title), `${path}: ${title}`);
});

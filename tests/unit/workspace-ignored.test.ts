/** Ignored files never leave the host, whatever the repository and the flags; and both sides tell the same status. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { type Mode, modes } from "../../src/workspace/plan.js";
import { type Bench, withBench } from "../doubles/repositories.js";
import { reached } from "../reached.js";

const names = [
  "a",
  "b.secret",
  "c c",
  "new\nline",
  "\xff",
  "d/e",
  "d/f.secret",
  "d/g/h",
  "build/out",
  "link",
];
const name = fc.constantFrom(...names);
const pattern = fc.constantFrom("*.secret", "/build/", "d/", "!b.secret", "d/g", "\\a", "new*", "!*.secret");
const step = fc.oneof(
  fc.record({ do: fc.constant("write" as const), name, text: fc.nat(3) }),
  fc.record({ do: fc.constant("remove" as const), name }),
  fc.record({ do: fc.constant("link" as const), name, to: name }),
  fc.record({ do: fc.constant("stage" as const), name, force: fc.boolean() }),
  fc.record({ do: fc.constant("commit" as const) }),
  fc.record({ do: fc.constant("untrack" as const), name }),
  fc.record({ do: fc.constant("ignore" as const), pattern, where: fc.constantFrom("", "d/") }),
  fc.record({ do: fc.constant("exclude" as const), pattern }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** Most repositories begin and end with a file that is ignored. */
const ignoring = (pattern: "*.secret" | "/build/" | "d/", name: string): Step[] => [
  { do: "ignore", pattern, where: "" },
  { do: "write", name, text: 0 },
];
const begins: Step[][] = [
  [],
  ignoring("*.secret", "b.secret"),
  ignoring("/build/", "build/out"),
  [...ignoring("d/", "d/e"), { do: "stage", name: "d/e", force: true }],
];

/** Takes a step as far as it can be taken: a file cannot be where a directory is. */
function take(bench: Bench, each: Step, count: number): void {
  const git = (...argv: string[]) => bench.git("-c", "core.quotePath=false", ...argv);
  try {
    switch (each.do) {
      case "write":
        return bench.write(each.name, `${each.name} ${count} ${each.text}\n`);
      case "remove":
        return rmSync(Buffer.from(`${bench.repo}/${each.name}`, "latin1") as unknown as string, {
          force: true,
        });
      case "link":
        return bench.link(each.name, each.to);
      case "stage":
        return void git("add", ...(each.force ? ["-f"] : []), "--", pathspec(each.name));
      case "untrack":
        return void git("rm", "-q", "--cached", "--", pathspec(each.name));
      case "commit":
        return void git("commit", "-q", "-m", "change");
      case "ignore":
        return bench.write(`${each.where}.gitignore`, `${each.pattern}\n`);
      case "exclude":
        return bench.write(".git/info/exclude", `${each.pattern}\n`);
    }
  } catch {
    // git or the file system refused it, as it would refuse a user.
  }
}

/** argv holds no arbitrary bytes; a pattern stands for the one name that is not UTF-8. */
const pathspec = (path: string): string => (path === "\xff" ? ":(glob)[!a-z.]" : `:(literal)${path}`);

/** Files and symlinks below a directory, `.git` left out; bytes as characters. */
function filesBelow(directory: string, prefix = ""): string[] {
  const path = (name: string) => Buffer.from(`${directory}/${prefix}${name}`, "latin1");
  const entries = readdirSync(Buffer.from(`${directory}/${prefix}`, "latin1"), { encoding: "latin1" });
  return entries.flatMap((name) => {
    if (prefix === "" && name === ".git") return [];
    return lstatSync(path(name)).isDirectory() ? filesBelow(directory, `${prefix}${name}/`) : [prefix + name];
  });
}

const split = (text: string): string[] => text.split("\0").filter((path) => path !== "");

/** Everything in the guest's repository, by object id. */
const objectsOf = (bench: Bench): Set<string> =>
  new Set(bench.guestGit("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split("\n"));

test("ignored files never leave the host", async (t) => {
  const hit = reached(t, {
    "ignored files stay": 4,
    "untracked files go along": 2,
    "ignored, and tracked": 1,
  });
  const scenario = fc.record({
    begin: fc.constantFrom(...begins),
    steps: fc.array(step, { minLength: 3, maxLength: 25, size: "max" }),
    includeUntracked: fc.boolean(),
    mode: fc.constantFrom<Mode>(...modes),
    branch: fc.option(fc.constant("try"), { nil: undefined }),
  });
  const property = fc.asyncProperty(scenario, ({ begin, steps, ...options }) =>
    withBench(async (bench) => {
      for (const [count, each] of [...begin, ...steps, ...begin].entries()) take(bench, each, count);
      const ignored = split(bench.git("ls-files", "-z", "-o", "-i", "--exclude-standard"));
      const untracked = split(bench.git("ls-files", "-z", "-o", "--exclude-standard"));
      const tracked = new Set(split(bench.git("ls-files", "-z")));
      const { files } = await bench.prepare(options);
      const there = filesBelow(bench.guestPath);
      assert.deepEqual([...there].sort(), [...files].sort(), "the dry run says what is carried");
      for (const path of ignored) assert.ok(!there.includes(path) || options.mode === "metadata_only", path);
      if (options.mode === "metadata_only") return;
      if (ignored.length > 0) hit("ignored files stay");
      if (options.includeUntracked && untracked.length > 0) hit("untracked files go along");
      if (bench.git("ls-files", "-z", "-c", "-i", "--exclude-standard") !== "") hit("ignored, and tracked");
      for (const path of there) {
        assert.ok(tracked.has(path) || (options.includeUntracked && untracked.includes(path)), path);
      }
      assertNoContent(bench, ignored, [...tracked, ...untracked]);
      const flags = options.includeUntracked ? [] : ["-uno"];
      const status = (where: string) => bench.gitIn(where, "status", "--porcelain", "-z", ...flags);
      assert.equal(status(bench.guestPath), status(bench.repo));
      assert.equal(bench.guestGit("diff", "--binary"), bench.git("diff", "--binary"));
      assert.equal(await bench.patch(), "");
    }),
  );
  await fc.assert(property, { numRuns: 25 });
});

/** Nor their content: in no object of the guest's, unless a file that may leave has, or once had, the same. */
function assertNoContent(bench: Bench, ignored: readonly string[], others: readonly string[]): void {
  const idsOf = (paths: readonly string[]): string[] =>
    paths
      .map((path) => Buffer.from(`${bench.repo}/${path}`, "latin1"))
      .filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isFile())
      .map((path) => blobId(readFileSync(path)));
  const allowed = new Set([
    ...idsOf(others),
    ...bench
      .git("rev-list", "--objects", "--all", "--indexed-objects")
      .split("\n")
      .map((line) => line.split(" ")[0] ?? ""),
  ]);
  const there = objectsOf(bench);
  for (const id of idsOf(ignored)) assert.ok(!there.has(id) || allowed.has(id), id);
}

const blobId = (content: Buffer): string =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

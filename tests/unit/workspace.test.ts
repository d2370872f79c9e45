/** A repository to a guest and back, where the guest is a directory: every kind of path, state and refusal. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { exportCommits } from "../../src/workspace/export.js";
import { assertSame, type Bench, statusOf, withBench } from "../doubles/repositories.js";
import { Sink } from "./agent-process.js";

const oddNames = [
  "with space",
  "new\nline",
  "\xff\xfe",
  'quo"te',
  "-dash",
  "back\\n",
  "tab\there",
  "*",
  "\xc3\xbc/\xe4",
];

/** Every kind of path and of change that git can tell. */
function makeOdd(bench: Bench): void {
  for (const name of oddNames) bench.write(name, `${name}\n`);
  bench.write("deep/er/est", "x");
  bench.write("tool.sh", "#!/bin/sh\n");
  bench.write("gone", "g");
  bench.write("staged-gone", "g");
  bench.write("becomes-directory", "file");
  bench.write("old-name", "the same text\n".repeat(20));
  bench.write(".gitignore", "*.secret\n/build/\n");
  bench.link("link", "deep/er");
  bench.link("dangling", "/nowhere/at/all");
  bench.write("becomes-link", "file");
  bench.commit("first");
  bench.write("with space", "committed\n");
  bench.commit("second");
  bench.write("with space", "staged\n");
  bench.git("add", "with space");
  bench.write("with space", "edited\n");
  bench.git("mv", "old-name", "new-name");
  bench.git("rm", "-q", "staged-gone");
  rmSync(join(bench.repo, "gone"));
  rmSync(join(bench.repo, "becomes-directory"));
  bench.write("becomes-directory/inside", "i");
  rmSync(join(bench.repo, "becomes-link"));
  bench.link("becomes-link", "tool.sh");
  chmodSync(join(bench.repo, "tool.sh"), 0o755);
  bench.write("intended", "later");
  bench.git("add", "-N", "intended");
  bench.write("un\ntracked", "u");
  bench.write("a.secret", "ignored-content");
  bench.write("build/out", "ignored-output");
}

test("status, diff and staged diff are equal on both sides, and a change comes home as a patch", () =>
  withBench(async (bench) => {
    makeOdd(bench);
    const before = bench.git("count-objects");
    await bench.prepare({ includeUntracked: true });
    assertSame(bench);
    assert.equal(bench.guestGit("config", "--local", "user.name"), "Ada L\n");
    assert.equal(bench.guestGit("rev-parse", "HEAD"), bench.git("rev-parse", "HEAD"));
    assert.equal(bench.git("count-objects"), before, "the user's repository got nothing");
    assert.equal(await bench.patch(), "");
    assert.equal(bench.treeOf(bench.guestPath), bench.treeOf(bench.repo));
    bench.write("\xff\xfe", "binary \0 now", bench.guestPath);
    bench.write("made in\nguest/\xe9", "new", bench.guestPath);
    bench.write("made.secret", "ignored in the guest too", bench.guestPath);
    rmSync(join(bench.guestPath, "new-name"));
    chmodSync(join(bench.guestPath, "tool.sh"), 0o644);
    bench.guestGit("add", "-A");
    bench.guestGit("commit", "-q", "-m", "in the guest");
    bench.write("deep/er/est", "after the commit", bench.guestPath);
    bench.apply(await bench.patch());
    assert.equal(bench.treeOf(bench.repo), bench.treeOf(bench.guestPath));
  }));

test("only tracked files go without the flag, and the dry run names exactly what goes", () =>
  withBench(async (bench) => {
    makeOdd(bench);
    const planned = await bench.plan();
    assert.ok(!existsSync(bench.guestPath));
    assert.equal(planned.skippedUntracked, 2, "un\\ntracked and becomes-directory/inside");
    await bench.prepare();
    const there = bench.guestGit("ls-files", "-z", "-c", "-o", "-t").split("\0").slice(0, -1);
    const deleted = new Set(bench.guestGit("ls-files", "-z", "-d").split("\0"));
    const present = new Set(there.map((line) => line.slice(2)).filter((path) => !deleted.has(path)));
    assert.deepEqual([...present].sort(), [...planned.files].sort());
    assertSame(bench, "-uno");
  }));

test("a work tree of git worktree, a detached HEAD and a path inside of it", () =>
  withBench(async (bench) => {
    makeOdd(bench);
    const tree = join(bench.root, "tree");
    bench.git("worktree", "add", "-q", "--detach", tree, "HEAD~1");
    bench.write("deep/er/est", "edited", tree);
    await bench.prepare({ path: join(tree, "deep", "er", "est") });
    assert.equal(bench.guestGit("rev-parse", "HEAD"), bench.gitIn(tree, "rev-parse", "HEAD"));
    assert.equal(bench.guestGit("rev-parse", "--abbrev-ref", "HEAD"), "HEAD\n");
    assert.equal(statusOf(bench, bench.guestPath), statusOf(bench, tree));
  }));

test("a repository without a commit, and a merge with conflicts", () =>
  withBench(async (bench) => {
    bench.write("a", "1\n");
    bench.git("add", "a");
    bench.write("b", "untracked");
    await bench.prepare({ includeUntracked: true });
    assertSame(bench);
    assert.equal(bench.guestGit("symbolic-ref", "HEAD"), "refs/heads/main\n");
    rmSync(bench.guestPath, { recursive: true });
    bench.commit();
    bench.git("switch", "-q", "-c", "other");
    bench.write("a", "2\n");
    bench.commit();
    bench.git("switch", "-q", "main");
    bench.write("a", "3\n");
    bench.commit();
    assert.throws(() => bench.git("merge", "-q", "other"));
    await bench.prepare();
    assert.match(statusOf(bench, bench.guestPath), /^UU a/);
    assertSame(bench);
  }));

test("submodules need a full copy, which brings them with their state and all branches", () =>
  withBench(async (bench) => {
    const library = join(bench.root, "library");
    mkdirSync(library);
    bench.gitIn(library, "init", "-q", "-b", "main");
    bench.write("lib.c", "int x;\n", library);
    bench.gitIn(library, "add", "-A");
    bench.gitIn(library, "commit", "-q", "-m", "lib");
    bench.write("main.c", "int main;\n");
    bench.commit("first");
    bench.git("submodule", "--quiet", "add", library, "vendor/my lib");
    bench.commit("second");
    bench.git("branch", "side", "HEAD~1");
    bench.write("vendor/my lib/lib.c", "int y;\n");
    await assert.rejects(bench.prepare(), { code: "needs_full_copy" });
    await bench.prepare({ mode: "full_copy" });
    assertSame(bench);
    assert.equal(bench.guestGit("rev-list", "--all", "--count"), "2\n");
    assert.equal(bench.guestGit("rev-parse", "side"), bench.git("rev-parse", "side"));
    bench.write("vendor/my lib/lib.c", "int z;\n", bench.guestPath);
    bench.write("vendor/my lib/new.c", "new\n", bench.guestPath);
    bench.write("main.c", "int main();\n", bench.guestPath);
    bench.apply(await bench.patch());
    assert.equal(readFileSync(join(bench.repo, "vendor/my lib/lib.c"), "utf8"), "int z;\n");
    assert.equal(readFileSync(join(bench.repo, "vendor/my lib/new.c"), "utf8"), "new\n");
    assertSame(bench);
  }));

test("--branch starts at HEAD with the work tree, or at --from without; metadata_only is the bare commit", () =>
  withBench(async (bench) => {
    bench.write("a", "1");
    bench.commit("first");
    bench.write("a", "2");
    bench.commit("second");
    bench.write("a", "edited");
    await bench.prepare({ branch: "try" });
    assert.equal(bench.guestGit("symbolic-ref", "HEAD"), "refs/heads/try\n");
    assertSame(bench);
    await bench.prepare({ branch: "try", from: "HEAD~1" });
    assert.equal(bench.guestGit("log", "--format=%s"), "first\n");
    assert.equal(statusOf(bench, bench.guestPath), "");
    assert.equal(readFileSync(join(bench.guestPath, "a"), "utf8"), "1");
    await bench.prepare({ mode: "metadata_only" });
    assert.equal(readFileSync(join(bench.guestPath, "a"), "utf8"), "2");
    assert.equal(statusOf(bench, bench.guestPath), "");
    assert.equal(readFileSync(join(bench.repo, "a"), "utf8"), "edited");
    await assert.rejects(bench.plan({ branch: "try", from: "nope" }), { code: "unknown_revision" });
    await assert.rejects(bench.plan({ branch: "a b" }), { code: "bad_branch" });
  }));

test("prepared again, it takes the host's new state and leaves what was built; what was changed is not lost", () =>
  withBench(async (bench) => {
    bench.write(".gitignore", "/build/\n");
    bench.write("old/file", "1");
    bench.write("kept", "1");
    bench.commit();
    await bench.prepare();
    bench.write("build/out", "built in the guest", bench.guestPath);
    rmSync(join(bench.repo, "old"), { recursive: true });
    bench.write("old", "a file now");
    bench.commit();
    await bench.prepare();
    assert.equal(statusOf(bench, bench.guestPath), "");
    assert.equal(readFileSync(join(bench.guestPath, "old"), "utf8"), "a file now");
    assert.equal(readFileSync(join(bench.guestPath, "build/out"), "utf8"), "built in the guest");
    bench.write("kept", "2", bench.guestPath);
    await assert.rejects(bench.prepare(), { code: "workspace_changed" });
    bench.guestGit("commit", "-qam", "in the guest");
    bench.write("kept", "1", bench.guestPath);
    await assert.rejects(bench.prepare(), { code: "workspace_changed" }, "a commit is a change too");
    rmSync(bench.guestPath, { recursive: true });
    mkdirSync(bench.guestPath);
    writeFileSync(join(bench.guestPath, "mine"), "");
    await assert.rejects(bench.prepare(), { code: "workspace_foreign" });
    assert.ok(existsSync(join(bench.guestPath, "mine")));
  }));

test("a bundle brings the guest's commits, and only they are in it", () =>
  withBench(async (bench) => {
    bench.write("a", "1");
    bench.commit();
    await bench.prepare({ branch: "try" });
    const bundle = join(bench.root, "bundle");
    const fetch = async () => {
      const output = new Sink();
      const result = await exportCommits(bench.guest, bench.guestPath, output);
      writeFileSync(bundle, Buffer.concat(output.chunks));
      return result;
    };
    await assert.rejects(fetch(), { code: "no_commits" });
    bench.write("a", "2", bench.guestPath);
    bench.guestGit("commit", "-qam", "in the guest");
    bench.write("b", "not committed", bench.guestPath);
    assert.deepEqual(await fetch(), { uncommitted: true });
    bench.git("fetch", "-q", bundle, "try:theirs");
    assert.equal(bench.git("log", "--format=%s %an", "main..theirs"), "in the guest Ada L\n");
  }));

test("--readonly takes the right to write away, and changes nothing that git sees", () =>
  withBench(async (bench) => {
    bench.write("d/a", "1");
    bench.commit();
    await bench.prepare({ readonly: true });
    assert.equal(statSync(join(bench.guestPath, "d/a")).mode & 0o222, 0);
    assert.equal(statSync(join(bench.guestPath, "d")).mode & 0o222, 0);
    assertSame(bench);
  }));

/** What git can make of a repository: each kind of clone, work tree and index goes to a guest, and its changes come back. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  assertRoundTrip,
  assertSame,
  logged,
  moved,
  statusOf,
  threeCommits,
  withBench,
} from "../doubles/repositories.js";

test("a shallow clone, of one commit or more, with its history or without", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    for (const [depth, mode, commits] of [
      ["1", "shallow_overlay", "1"],
      ["1", "full_copy", "1"],
      ["2", "full_copy", "2"],
      ["2", "shallow_overlay", "1"],
    ] as const) {
      const clone = moved(bench, join(bench.root, `clone-${depth}-${mode}`));
      bench.git("clone", "-q", "--depth", depth, `file://${bench.repo}`, clone.repo);
      await clone.prepare({ mode });
      assert.equal(logged(clone), commits);
      await assertRoundTrip(clone);
      rmSync(bench.guestPath, { recursive: true });
    }
  }));

test("clones that lean on another repository's objects: shared, by reference, partial", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    bench.git("config", "uploadpack.allowFilter", "true");
    const kinds = {
      shared: ["--shared", bench.repo],
      reference: ["--reference", bench.repo, `file://${bench.repo}`],
      partial: ["--filter=blob:none", `file://${bench.repo}`],
    };
    for (const [name, argv] of Object.entries(kinds)) {
      const clone = moved(bench, join(bench.root, name));
      bench.git("clone", "-q", ...argv, clone.repo);
      for (const mode of ["shallow_overlay", "full_copy"] as const) {
        await clone.prepare({ mode });
        await assertRoundTrip(clone);
        rmSync(bench.guestPath, { recursive: true });
        clone.git("checkout", "-q", ".");
      }
    }
  }));

test("sparse checkouts, by cone and by pattern, with and without a sparse index", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    bench.write("other/c", "c\n");
    bench.commit();
    for (const flags of [["--cone"], ["--cone", "--sparse-index"], ["--no-cone"]]) {
      bench.git("sparse-checkout", "set", ...flags, flags[0] === "--no-cone" ? "/dir/" : "dir");
      assert.ok(!existsSync(join(bench.repo, "other")));
      await bench.prepare();
      assert.ok(!existsSync(join(bench.guestPath, "other")), flags.join(" "));
      await assertRoundTrip(bench, "dir/b");
      rmSync(bench.guestPath, { recursive: true });
      bench.git("checkout", "-q", ".");
    }
    const plan = await bench.prepare({ mode: "metadata_only" });
    assert.deepEqual([...plan.files].sort(), ["a", "dir/b", "other/c"]);
    assert.ok(existsSync(join(bench.guestPath, "other/c")), "the dry run says what is carried");
    assert.equal(statusOf(bench, bench.guestPath), "");
  }));

test("work trees of a bare repository, with a git directory elsewhere, and with settings of their own", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    const [bare, elsewhere] = [join(bench.root, "bare.git"), join(bench.root, "elsewhere")];
    bench.git("clone", "-q", "--bare", bench.repo, bare);
    const tree = moved(bench, join(bench.root, "tree"));
    bench.gitIn(bare, "worktree", "add", "-q", tree.repo, "-b", "side");
    bench.gitIn(bare, "config", "extensions.worktreeConfig", "true");
    bench.gitIn(bare, "config", "--worktree", "core.bare", "true");
    bench.gitIn(bare, "config", "--file", "config", "--unset", "core.bare");
    tree.git("config", "--worktree", "core.fileMode", "false");
    chmodSync(join(tree.repo, "a"), 0o755);
    await tree.prepare({ mode: "full_copy" });
    assert.equal(bench.guestGit("config", "core.fileMode"), "false\n");
    await assertRoundTrip(tree);
    rmSync(bench.guestPath, { recursive: true });
    const apart = moved(bench, join(bench.root, "apart"));
    bench.git("clone", "-q", "--separate-git-dir", elsewhere, bench.repo, apart.repo);
    await apart.prepare();
    await assertRoundTrip(apart);
  }));

test("objects by SHA-256, and indexes of every form", () =>
  withBench(async (bench) => {
    const wide = moved(bench, join(bench.root, "wide"));
    bench.git("init", "-q", "--object-format=sha256", "-b", "main", wide.repo);
    threeCommits(wide);
    await wide.prepare();
    await assertRoundTrip(wide);
    rmSync(bench.guestPath, { recursive: true });
    threeCommits(bench);
    bench.git("config", "splitIndex.maxPercentChange", "100");
    for (const argv of [["--index-version", "4"], ["--split-index"], ["--untracked-cache"]]) {
      bench.git("update-index", ...argv);
      bench.write("a", `${argv}\n`);
      bench.git("add", "a");
      bench.write("a", `${argv} edited\n`);
      await bench.prepare();
      await assertRoundTrip(bench);
      rmSync(bench.guestPath, { recursive: true });
    }
  }));

test("files that git was told to overlook are carried as they are, and their changes come home", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    bench.git("update-index", "--assume-unchanged", "a");
    bench.git("update-index", "--skip-worktree", "dir/b");
    bench.write("a", "local\n");
    bench.write("dir/b", "local\n");
    await bench.prepare();
    assertSame(bench);
    assert.equal(await bench.patch(), "");
    bench.write("a", "local, changed\n", bench.guestPath);
    bench.write("dir/b", "local, changed\n", bench.guestPath);
    bench.apply(await bench.patch());
    assert.equal(readFileSync(join(bench.repo, "a"), "utf8"), "local, changed\n");
    assert.equal(readFileSync(join(bench.repo, "dir/b"), "utf8"), "local, changed\n");
  }));

test("a rebase, a cherry-pick and a bisection under way", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    bench.git("switch", "-q", "-c", "side", "HEAD~1");
    bench.write("a", "side\n");
    bench.commit("side");
    for (const argv of [
      ["rebase", "main"],
      ["cherry-pick", "main"],
    ]) {
      assert.throws(() => bench.git(...argv));
      await bench.prepare();
      assert.match(statusOf(bench, bench.guestPath), /^(UU|AA) a/);
      await assertRoundTrip(bench);
      rmSync(bench.guestPath, { recursive: true });
      bench.git(argv[0] as string, "--abort");
    }
    bench.git("bisect", "start", "main", "main~2");
    await bench.prepare();
    assert.equal(bench.guestGit("rev-parse", "--abbrev-ref", "HEAD"), "HEAD\n");
    await assertRoundTrip(bench);
  }));

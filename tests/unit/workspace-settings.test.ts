/** What settings, attributes, hooks and the environment make of a checkout, here and in a guest. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  assertRoundTrip,
  assertSame,
  Bench,
  logged,
  moved,
  statusOf,
  threeCommits,
  withBench,
} from "../doubles/repositories.js";

test("line ends, encodings and keywords that attributes and settings ask for", () =>
  withBench(async (bench) => {
    bench.git("config", "core.autocrlf", "true");
    bench.write(
      ".gitattributes",
      "*.u16 working-tree-encoding=UTF-16LE text\n*.id ident\n*.lf eol=lf text\n",
    );
    bench.write("a", "1\r\n2\r\n");
    bench.write("b.lf", "1\n2\n");
    bench.write("c.id", "$Id$\r\n");
    writeFileSync(join(bench.repo, "d.u16"), Buffer.from("ä\r\n", "utf16le"));
    bench.commit();
    rmSync(join(bench.repo, "c.id"));
    bench.git("checkout", "c.id");
    await bench.prepare();
    assertSame(bench);
    writeFileSync(join(bench.guestPath, "d.u16"), Buffer.from("ä\r\nö\r\n", "utf16le"));
    bench.write("a", "1\r\n2\r\n3\r\n", bench.guestPath);
    bench.write("b.lf", "1\n2\n3\n", bench.guestPath);
    bench.apply(await bench.patch());
    for (const name of ["a", "b.lf", "c.id", "d.u16"]) {
      const [here, there] = [bench.repo, bench.guestPath].map((at) => readFileSync(join(at, name)));
      assert.deepEqual(here, there, name);
    }
  }));

test("a filter's files go as they lie in the work tree, and come home so", () =>
  withBench(async (bench) => {
    const store = join(bench.root, "store");
    bench.git("config", "filter.store.clean", `tee '${store}' | sha1sum`);
    bench.git("config", "filter.store.smudge", `cat >/dev/null; cat '${store}'`);
    bench.git("config", "filter.store.required", "true");
    bench.write(".gitattributes", "*.bin filter=store\nsecret export-ignore\nversion export-subst\n");
    bench.write("large.bin", "large\n");
    utimesSync(join(bench.repo, "large.bin"), 1_700_000_000, 1_700_000_000);
    bench.write("secret", "exported all the same\n");
    bench.write("version", "$Format:%H$\n");
    bench.commit();
    assert.match(bench.git("show", "HEAD:large.bin"), /^[0-9a-f]{40} {2}-$/m, "the filter runs");
    await bench.prepare();
    assertSameFiles(bench, ["large.bin", "secret", "version"]);
    bench.write("other", "1\n", bench.guestPath);
    const { patch, notes } = await bench.exported();
    assert.deepEqual(patch.match(/^diff --git .*/gm), ["diff --git a/other b/other"]);
    assert.deepEqual(notes, []);
  }));

function assertSameFiles(bench: Bench, names: readonly string[]): void {
  for (const name of names) {
    assert.deepEqual(readFileSync(join(bench.guestPath, name)), readFileSync(join(bench.repo, name)), name);
  }
}

test("what the user ignores, and how files are read, for all repositories, is so in the guest too", () =>
  withBench(async (bench) => {
    const [config, ignore] = [join(bench.root, "config"), join(bench.root, "my ignore")];
    const env = { ...bench.env, HOME: bench.root, XDG_CONFIG_HOME: config };
    const own = Object.assign(Object.create(bench) as Bench, { env });
    threeCommits(own);
    for (const how of ["the usual file", "a setting"]) {
      mkdirSync(join(config, "git"), { recursive: true });
      writeFileSync(
        how === "a setting" ? ignore : join(config, "git/ignore"),
        "\ufeffnode_modules/\n*.swp\n!kept.swp",
      );
      if (how === "a setting") {
        rmSync(join(config, "git/ignore"));
        own.git("config", "core.excludesFile", "~/my ignore");
      }
      writeFileSync(join(config, "git/attributes"), "*.txt text eol=crlf\n");
      own.write(".git/info/exclude", "*.log\nkept.swp\n");
      await own.prepare();
      const inGuest = (path: string) => own.write(path, "x\n", own.guestPath);
      for (const path of ["node_modules/x/i.js", ".a.swp", "kept.swp", "b.log", "new.txt", "c"])
        inGuest(path);
      assert.equal(statusOf(bench, own.guestPath), "?? c\0?? new.txt\0", how);
      assert.deepEqual((await own.patch()).match(/^diff --git .*/gm), [
        "diff --git a/c b/c",
        "diff --git a/new.txt b/new.txt",
      ]);
      assert.match(bench.guestGit("check-attr", "eol", "new.txt"), /crlf/);
      rmSync(own.guestPath, { recursive: true });
    }
  }));

test("replaced objects, notes, a stash and hooks: the first go with the history, the others stay", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    bench.git("notes", "add", "-m", "a note");
    bench.write("a", "stashed\n");
    bench.git("stash", "-q");
    const hook = join(bench.repo, ".git/hooks/post-index-change");
    const trace = join(bench.root, "a-hook-ran");
    mkdirSync(join(bench.repo, ".git/hooks"), { recursive: true });
    writeFileSync(hook, `#!/bin/sh\ntouch '${trace}'\n`, { mode: 0o755 });
    bench.git("replace", "--graft", "HEAD");
    bench.git("config", "core.fsmonitor", hook);
    rmSync(trace, { force: true });
    for (const mode of ["full_copy", "shallow_overlay", "metadata_only"] as const) {
      await bench.prepare({ mode });
      assert.equal(bench.guestGit("rev-list", "HEAD"), bench.git("rev-list", "HEAD"), mode);
      assert.equal(logged(bench), "1");
      assert.doesNotMatch(bench.guestGit("for-each-ref"), /notes|stash/);
      assert.equal(await bench.patch(), "");
    }
    assert.ok(!existsSync(trace));
    assert.ok(!existsSync(join(bench.guestPath, ".git/hooks")));
  }));

test("what a hook's environment names does not lead elsewhere", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    const other = join(bench.root, "other");
    bench.git("init", "-q", other);
    writeFileSync(join(other, "shallow"), bench.git("rev-parse", "HEAD~1"));
    const names = [
      ["GIT_DIR", `${other}/.git`],
      ["GIT_WORK_TREE", other],
      ["GIT_INDEX_FILE", `${other}/index`],
      ["GIT_OBJECT_DIRECTORY", `${other}/objects`],
      ["GIT_CONFIG", `${other}/.git/config`],
      ["GIT_SHALLOW_FILE", `${other}/shallow`],
      ["GIT_PREFIX", "dir/"],
      ["GIT_ICASE_PATHSPECS", "1"],
    ];
    const env = { ...bench.env, ...Object.fromEntries(names) };
    const hooked = Object.assign(Object.create(bench) as Bench, { env });
    await hooked.prepare({ mode: "full_copy" });
    assert.equal(logged(bench), "3");
    await assertRoundTrip(bench);
  }));

test("a repository that belongs to somebody else is refused with git's own way out", () =>
  withBench(async (bench) => {
    threeCommits(bench);
    const env = { ...bench.env, GIT_TEST_ASSUME_DIFFERENT_OWNER: "1" };
    const foreign = Object.assign(Object.create(bench) as Bench, { env });
    const hint = `if you trust it: git config --global --add safe.directory ${bench.repo}`;
    await assert.rejects(foreign.plan(), { code: "dubious_ownership", hint });
    execFileSync("git", ["config", "--global", "--add", "safe.directory", bench.repo], { env });
    await foreign.prepare();
    assertSame(bench);
  }));

test("names of every length and letter case, empty directories, and links to elsewhere", () =>
  withBench(async (bench) => {
    const long = `${"d".repeat(200)}/${"e".repeat(200)}/${"f".repeat(255)}`;
    for (const name of [long, "Case", "case", "CASE/x"]) bench.write(name, `${name}\n`);
    mkdirSync(join(bench.repo, "empty"));
    symlinkSync("/etc/hostname", join(bench.repo, "outside"));
    execFileSync("ln", [join(bench.repo, "Case"), join(bench.repo, "hard")]);
    bench.commit();
    bench.git("config", "core.ignoreCase", "true");
    await bench.prepare();
    assert.ok(!existsSync(join(bench.guestPath, "empty")));
    bench.write("cAsE", "made in the guest\n", bench.guestPath);
    bench.write("hard", "of its own now\n", bench.guestPath);
    bench.apply(await bench.patch());
    assert.equal(readFileSync(join(bench.repo, "cAsE"), "utf8"), "made in the guest\n");
    assert.equal(readFileSync(join(bench.guestPath, "Case"), "utf8"), "Case\n");
  }));

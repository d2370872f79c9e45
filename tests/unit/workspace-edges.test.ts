/** The edges of carrying a repository: refusals, what git does not track, settings, tools, names. */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startDirectory } from "../../src/workspace/guest-path.js";
import { repositoryMark } from "../../src/workspace/marks.js";
import { placeWorkspace } from "../../src/workspace/prepare.js";
import { shownPath } from "../../src/workspace/select.js";
import { guestSettings } from "../../src/workspace/settings.js";
import { startTools } from "../../src/workspace/tools.js";
import { assertSame, statusOf, withBench } from "../doubles/repositories.js";
import { eventually } from "./agent-process.js";

test("a path that is in no work tree is refused", () =>
  withBench(async (bench) => {
    bench.git("init", "-q", "--bare", "../bare.git");
    mkdirSync(join(bench.root, "plain"));
    for (const name of ["plain", "bare.git", "missing", "repo/.git"]) {
      await assert.rejects(bench.plan({ path: join(bench.root, name) }), { code: "not_a_repository" }, name);
    }
    await assert.rejects(bench.patch(), { code: "workspace_missing" });
  }));

test("a file that changed in the second of the index's writing counts as changed in the guest too", () =>
  withBench(async (bench) => {
    const [file, index] = [join(bench.repo, "a"), join(bench.repo, ".git/index")];
    bench.write("a", "1111");
    utimesSync(file, 1_700_000_000, 1_700_000_000);
    bench.commit();
    bench.write("a", "2222");
    for (const path of [file, index]) utimesSync(path, 1_700_000_000, 1_700_000_000);
    await bench.prepare();
    assert.equal(statusOf(bench, bench.guestPath), " M a\0");
    assert.equal(await bench.patch(), "");
  }));

test("a file that only its time of change of status tells to be edited counts as changed in the guest too", () =>
  withBench(async (bench) => {
    const file = join(bench.repo, "a");
    bench.write("a", "1111");
    utimesSync(file, 1_700_000_000, 1_700_000_000);
    bench.commit();
    const { ctimeMs } = statSync(file);
    bench.write("a", "2222");
    await eventually(async () => {
      utimesSync(file, 1_700_000_000, 1_700_000_000);
      return Math.floor(statSync(file).ctimeMs / 1000) > Math.floor(ctimeMs / 1000) || undefined;
    });
    assert.equal(statusOf(bench, bench.repo), " M a\0");
    await bench.prepare();
    assert.equal(statusOf(bench, bench.guestPath), " M a\0");
    assert.equal(await bench.patch(), "");
    bench.write("a", "3333", bench.guestPath);
    bench.apply(await bench.patch());
    assert.equal(readFileSync(file, "utf8"), "3333");
  }));

test("files behind a symlink, special files and nested repositories stay on the host", () =>
  withBench(async (bench) => {
    bench.write("dir/file", "tracked");
    bench.commit();
    rmSync(join(bench.repo, "dir"), { recursive: true });
    bench.write("elsewhere/file", "untracked");
    bench.link("dir", "elsewhere");
    mkdirSync(join(bench.repo, "nested"));
    bench.gitIn(join(bench.repo, "nested"), "init", "-q");
    const plan = await bench.prepare();
    assert.deepEqual(plan.files, []);
    assert.deepEqual(plan.embedded, ["nested/"]);
    assertSame(bench, "-uno");
  }));

test("a prepare that broke off is made up for by the next one", () =>
  withBench(async (bench) => {
    bench.write("a", "1");
    bench.write("b", "2");
    bench.commit();
    await bench.prepare();
    bench.write(".git/banger/replacing", "", bench.guestPath);
    rmSync(join(bench.guestPath, "a"));
    await bench.prepare();
    assertSame(bench);
    renameSync(join(bench.guestPath, ".git"), join(bench.root, "guest/.repo.banger.git"));
    await bench.prepare();
    assertSame(bench);
    const plan = await bench.plan();
    rmSync(join(bench.repo, "a"));
    const placed = placeWorkspace(plan, bench.guest, {
      guestPath: bench.guestPath,
      readonly: false,
      fallbackScratch: join(bench.root, "scratch"),
    });
    await assert.rejects(placed, { code: "tar_failed", retry: "later" });
    assert.ok(existsSync(join(bench.guestPath, "a")), "what is there is whole");
    assert.deepEqual(readdirSync(join(bench.root, "guest")), ["repo"]);
  }));

test("mise installs in the background what the repository names, where the guest has it", () =>
  withBench(async (bench) => {
    bench.write("a", "1");
    bench.commit();
    const home = join(bench.root, "nobody");
    const begin = async () => startTools(bench.guest, await bench.plan(), bench.guestPath);
    await bench.prepare();
    bench.write(".local/bin/mise", '#!/bin/sh\necho "$@ in $PWD"\n', home);
    chmodSync(join(home, ".local/bin/mise"), 0o755);
    assert.equal(await begin(), false, "the repository names no tools");
    bench.write(".tool-versions", "node 20\n");
    bench.commit();
    await bench.prepare();
    assert.equal(await begin(), true);
    const log = join(home, ".local/state/banger/mise.log");
    const wanted = `trust --yes in ${bench.guestPath}\ninstall in ${bench.guestPath}\n`;
    await eventually(async () => (readFileSync(log, "utf8") === wanted ? true : undefined));
    rmSync(join(home, ".local/bin"), { recursive: true });
    assert.equal(await begin(), false, "the guest has no mise");
  }));

test("settings: a section for each, values quoted, and no password in a URL", () => {
  const text = guestSettings(
    new Map([
      ["user.name", 'a "b"\\c'],
      ["remote.o.x.url", "https://me:token@example.com/a"],
      ["remote.ssh.url", "ssh://git@example.com/a"],
      ["credential.helper", "store"],
      ["filter.lfs.clean", "git-lfs clean"],
      ["commit.gpgsign", "true"],
      ["gpg.program", "my-gpg"],
      ["url.https://token@example.com/.insteadof", "gh:"],
      ["includeif.gitdir:~/work/.path", "~/.gitconfig-work"],
      ["core.hookspath", "/home/ada/hooks"],
      ["core.fsmonitor", "true"],
      ["extensions.partialclone", "origin"],
      ["diff.external", "difft"],
    ]),
  );
  assert.match(text, /\[user\]\n\tname = "a \\"b\\"\\\\c"\n/);
  assert.match(text, /\[remote "o\.x"\]\n\turl = "https:\/\/example\.com\/a"\n/);
  assert.match(text, /ssh:\/\/git@example/);
  assert.doesNotMatch(text, /token|credential|filter|gpg|insteadof|include|hooks|fsmonitor|partial|difft/);
});

test("a listed path is one readable line", () => {
  assert.equal(shownPath("with space"), "with space");
  assert.equal(shownPath("\xc3\xbc"), "ü");
  assert.equal(shownPath("a\nb"), '"a\\nb"');
  assert.equal(shownPath('\xff"'), '"\\377\\""');
});

test("work begins in the directory that was asked for, where it is carried", () =>
  withBench(async (bench) => {
    bench.write("packages/web \xc3\xbc/x.c", "x");
    bench.commit();
    mkdirSync(join(bench.repo, "packages/empty"));
    const begins = async (path: string) =>
      startDirectory(await bench.plan({ path: join(bench.repo, path) }), "/root/repo");
    assert.equal(await begins(""), "/root/repo");
    assert.equal(await begins("packages/web ü"), "/root/repo/packages/web ü");
    assert.equal(await begins("packages/web ü/x.c"), "/root/repo/packages/web ü");
    assert.equal(await begins("packages/empty"), "/root/repo");
  }));

test("a directory for temporary files that cannot be used is done without", () =>
  withBench(async (bench) => {
    bench.write("a", "1");
    bench.commit();
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = join(bench.root, "nowhere");
    try {
      await bench.prepare();
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    }
    assertSame(bench);
    assert.deepEqual(readdirSync(join(bench.root, "scratch")), [], "it was used, and left empty");
  }));

test("the checkout that was put there last is the one in which commands begin", () =>
  withBench(async (bench) => {
    bench.write("a", "1");
    bench.commit();
    await bench.prepare();
    await bench.prepare();
    const mark = join(bench.root, "nobody", repositoryMark);
    assert.equal(readFileSync(mark, "utf8"), bench.guestPath);
  }));

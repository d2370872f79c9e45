/** The edges of carrying a repository: refusals, what git does not track, settings, tools, names. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
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
    ]),
  );
  assert.match(text, /\[user\]\n\tname = "a \\"b\\"\\\\c"\n/);
  assert.match(text, /\[remote "o\.x"\]\n\turl = "https:\/\/example\.com\/a"\n/);
  assert.match(text, /ssh:\/\/git@example/);
  assert.doesNotMatch(text, /token|credential|filter/);
});

test("a listed path is one readable line", () => {
  assert.equal(shownPath("with space"), "with space");
  assert.equal(shownPath("\xc3\xbc"), "ü");
  assert.equal(shownPath("a\nb"), '"a\\nb"');
  assert.equal(shownPath('\xff"'), '"\\377\\""');
});

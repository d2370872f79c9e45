/** What comes home of a guest checkout, whoever else works in it: exports at once, kills, repositories within, settings. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { placeWorkspace } from "../../src/workspace/prepare.js";
import { patchScript } from "../../src/workspace/scripts.js";
import { localGuest } from "../doubles/local-guest.js";
import { assertSame, type Bench, withBench } from "../doubles/repositories.js";
import { eventually } from "./agent-process.js";

const ownDirectories = (bench: Bench) =>
  readdirSync(join(bench.guestPath, ".git/banger")).filter((name) => name.startsWith("run."));

/** Applied at home, the patch makes the host's work tree the guest's, `.git` directories left aside. */
async function assertComesHome(bench: Bench): Promise<string[]> {
  const { patch, notes } = await bench.exported();
  bench.apply(patch);
  const argv = ["-r", "--no-dereference", "--exclude=.git", bench.repo, bench.guestPath];
  execFileSync("diff", argv, { stdio: ["ignore", "inherit", "inherit"] });
  return notes;
}

async function prepared(bench: Bench): Promise<void> {
  bench.write("a", "1\n");
  bench.write("dir/file", "1\n");
  bench.write(".gitignore", "*.o\n");
  bench.commit();
  await bench.prepare();
}

test("exports of one checkout at once are each whole, and leave nothing in it", () =>
  withBench(async (bench) => {
    await prepared(bench);
    for (let at = 0; at < 60; at += 1) bench.write(`new/${at}`, `${at}\n`.repeat(500), bench.guestPath);
    bench.write("a", "2\n", bench.guestPath);
    const before = bench.guestGit("count-objects");
    const right = await bench.patch();
    assert.equal(right.match(/^diff --git /gm)?.length, 61);
    const all = await Promise.all(Array.from({ length: 8 }, () => bench.patch()));
    assert.deepEqual(
      all.map((patch) => patch === right),
      all.map(() => true),
    );
    assert.deepEqual(ownDirectories(bench), []);
    assert.equal(bench.guestGit("count-objects"), before);
  }));

test("what a killed export or git left stops no other, and is removed when its process is gone", () =>
  withBench(async (bench) => {
    await prepared(bench);
    for (let at = 0; at < 400; at += 1) bench.write(`new/${at}`, `${at}\n`, bench.guestPath);
    const right = await bench.patch();
    const script = ["-c", patchScript, "sh", bench.guestPath];
    const child = spawn("sh", script, { env: { PATH: process.env["PATH"] }, detached: true });
    await eventually(async () => ownDirectories(bench)[0]);
    process.kill(-(child.pid as number), "SIGKILL");
    await once(child, "close");
    assert.equal(ownDirectories(bench).length, 1, "it was killed in its midst");
    for (const lock of [".git/index.lock", ".git/banger/index.lock", ".git/HEAD.lock"]) {
      bench.write(lock, "", bench.guestPath);
    }
    const living = `run.${process.pid}.abcdef`;
    mkdirSync(join(bench.guestPath, ".git/banger", living));
    assert.equal(await bench.patch(), right);
    assert.deepEqual(ownDirectories(bench), [living]);
  }));

test("a checkout whose files a prepare was replacing is not compared with anything", () =>
  withBench(async (bench) => {
    await prepared(bench);
    bench.write(".git/banger/replacing", "", bench.guestPath);
    rmSync(join(bench.guestPath, "dir"), { recursive: true });
    await assert.rejects(bench.patch(), { code: "workspace_unfinished", retry: "later" });
    await bench.prepare();
    assert.equal(await bench.patch(), "");
  }));

test("repositories made within the checkout come home as files, and are named", () =>
  withBench(async (bench) => {
    await prepared(bench);
    const inGuest = (path: string, ...argv: string[]) => bench.gitIn(join(bench.guestPath, path), ...argv);
    const make = (path: string) => {
      mkdirSync(join(bench.guestPath, path), { recursive: true });
      inGuest(path, "init", "-q", "-b", "main");
    };
    make("app");
    bench.write("app/main.c", "committed\n", bench.guestPath);
    bench.write("app/gone.c", "committed\n", bench.guestPath);
    inGuest("app", "add", "-A");
    inGuest("app", "commit", "-qm", "one");
    rmSync(join(bench.guestPath, "app/gone.c"));
    bench.write("app/new.c", "not committed\n", bench.guestPath);
    make("app/lib/deep er");
    bench.write("app/lib/deep er/x.c", "x\n", bench.guestPath);
    make("young");
    bench.write("young/x.c", "no commit\n", bench.guestPath);
    bench.guestGit("worktree", "add", "-q", "tree");
    rmSync(join(bench.guestPath, "a"));
    make("a");
    bench.write("a/in place of a file", "x\n", bench.guestPath);
    inGuest("a", "add", "-A");
    inGuest("a", "commit", "-qm", "one");
    bench.write("dir/file", "2\n", bench.guestPath);
    const notes = await assertComesHome(bench);
    const named = notes.map((note) => note.replace(/ is a repository of its own: .*/, ""));
    assert.deepEqual(named.sort(), ["a/", "app/", "app/lib/deep er/", "tree/", "young/"]);
    bench.write("app/by-product.o", "ignored\n", bench.guestPath);
    assert.doesNotMatch(await bench.patch(), /by-product/);
    await assert.rejects(bench.prepare(), { code: "workspace_changed" });
  }));

test("what no patch can hold is named, and the rest comes home", () =>
  withBench(async (bench) => {
    bench.write("pipe", "a file\n");
    bench.write("kept", "1\n");
    bench.write("behind/file", "1\n");
    bench.write("elsewhere/file", "1\n");
    bench.write("coded", "text\n");
    bench.write(".gitattributes", "coded filter=secret\n");
    bench.commit();
    await bench.prepare();
    const at = (path: string) => join(bench.guestPath, path);
    rmSync(at("pipe"));
    rmSync(at("behind"), { recursive: true });
    execFileSync("mkfifo", [at("pipe"), at("untracked pipe")]);
    execFileSync("ln", ["-s", "elsewhere", at("behind")]);
    bench.write("elsewhere/file", "2\n", bench.guestPath);
    bench.write(".GIT/config", "x\n", bench.guestPath);
    bench.write("coded", "other text\n", bench.guestPath);
    bench.write("kept", "2\n", bench.guestPath);
    const { patch, notes } = await bench.exported();
    assert.deepEqual(
      notes.map((note) => note.split(" ").slice(0, 4).join(" ")),
      ["pipe is a pipe,", ".GIT/config has a name", "coded: filter: secret is"],
    );
    bench.apply(patch);
    assert.equal(readFileSync(join(bench.repo, "kept"), "utf8"), "2\n");
    assert.equal(readFileSync(join(bench.repo, "behind/file"), "utf8"), "2\n");
    assert.equal(readFileSync(join(bench.repo, "pipe"), "utf8"), "a file\n");
  }));

test("a submodule that is gone is named, and does not end the export", () =>
  withBench(async (bench) => {
    const library = join(bench.root, "library");
    bench.write("lib.c", "1\n", library);
    bench.gitIn(library, "init", "-q");
    bench.gitIn(library, "add", "-A");
    bench.gitIn(library, "commit", "-qm", "one");
    bench.git("submodule", "--quiet", "add", library, "lib");
    bench.git("submodule", "--quiet", "add", library, "other");
    bench.commit();
    await bench.prepare({ mode: "full_copy" });
    rmSync(join(bench.guestPath, "lib"), { recursive: true });
    bench.write("other/lib.c", "2\n", bench.guestPath);
    const { patch, notes } = await bench.exported();
    assert.match(patch, /^diff --git a\/other\/lib.c b\/other\/lib.c$/m);
    assert.equal(notes.length, 1);
    assert.match(notes[0] as string, /^lib was a submodule/);
  }));

test("the patch is the same whatever the guest's user has set, and no hook runs", () =>
  withBench(async (bench) => {
    await prepared(bench);
    bench.write("\xc3\xbc", "umlaut\n");
    bench.write("crlf", "a\r\nb\r\n");
    bench.write("long", Array.from({ length: 40 }, (_, at) => `${at}\n`).join(""));
    bench.commit();
    await bench.prepare();
    bench.write("\xc3\xbc", "changed\n", bench.guestPath);
    bench.write("crlf", "a\r\nb\r\nc\r\n", bench.guestPath);
    bench.write(
      "long",
      readFileSync(join(bench.repo, "long"), "utf8").replace("20\n", "x\n"),
      bench.guestPath,
    );
    bench.write("notes.swp", "new\n", bench.guestPath);
    const right = await bench.patch();
    const home = join(bench.root, "somebody");
    const hook = join(home, "hooks/post-index-change");
    bench.write("hooks/post-index-change", `#!/bin/sh\ntouch '${home}/hook-ran'\n`, home);
    bench.write("ignore", "*.swp\n", home);
    chmodSync(hook, 0o755);
    writeFileSync(
      join(home, ".gitconfig"),
      `[core]\n\thooksPath = ${home}/hooks\n\texcludesFile = ${home}/ignore\n\tquotePath = false\n` +
        "\tautocrlf = true\n\tpager = false\n\tcompression = 9\n" +
        "[diff]\n\tnoprefix = true\n\tmnemonicPrefix = true\n\texternal = false\n\tcontext = 0\n" +
        "\trenames = copies\n\tsuppressBlankEmpty = true\n[color]\n\tui = always\n",
    );
    const env = {
      GIT_DIFF_OPTS: "--unified=0",
      GIT_EXTERNAL_DIFF: "false",
      GIT_DIR: "/nowhere",
      GIT_INDEX_FILE: "/nowhere/index",
    };
    assert.equal((await bench.exported(localGuest(home, env))).patch, right);
    assert.ok(!existsSync(join(home, "hook-ran")));
    bench.apply(right);
    assertSame(bench, "-uno");
  }));

test("a guest without git is told of before the work, with its own package manager's command", () =>
  withBench(async (bench) => {
    bench.write("a", "1\n");
    bench.commit();
    const programs = join(bench.root, "bin");
    mkdirSync(programs);
    for (const name of ["sh", "tar", "rm", "mkdir", "mv", "rmdir", "ls", "ln", "cut", "cat", "readlink"]) {
      execFileSync("sh", ["-c", 'ln -s "$(command -v "$1")" "$2"', "sh", name, programs]);
    }
    const bare = localGuest(join(bench.root, "nobody"), { PATH: programs });
    const place = async () => {
      const said: string[] = [];
      const placement = {
        guestPath: bench.guestPath,
        readonly: false,
        fallbackScratch: join(bench.root, "scratch"),
      };
      await placeWorkspace(await bench.plan(), bare, { ...placement, warn: (text) => said.push(text) });
      return said;
    };
    writeFileSync(join(programs, "apk"), "#!/bin/sh\n", { mode: 0o755 });
    const hint = "banger vm exec box -- apk add git";
    assert.deepEqual(await place(), [`the guest has no git, which an export needs; to install it: ${hint}`]);
    await assert.rejects(bench.exported(bare), { code: "guest_without_git", hint });
    await assert.rejects(place(), { code: "guest_without_git", hint });
    rmSync(join(programs, "tar"));
    await assert.rejects(place(), { code: "guest_without_tar" });
  }));

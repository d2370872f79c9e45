/** A repository in a real guest: equal on both sides, and its changes back home; `vm run PATH` whole. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { Bench } from "../doubles/repositories.js";
import { program, TestHome } from "./harness.js";

const home = new TestHome();
const bench = new Bench();
const small = ["--memory", "512M", "--vcpu", "1"];
const guestPath = "/root/repo";

before(async () => {
  const started = await home.run(["vm", "run", "-d", "--name", "box", ...small], { timeoutMs: 900_000 });
  assert.equal(started.status, 0, started.stderr);
});
after(async () => {
  await home.run(["vm", "delete", "box"]);
  await home.dispose();
  bench.dispose();
});

const env = { ...home.env, ...bench.env };

/** The output's bytes, one character each; the CLI runs in the repository. */
function banger(...argv: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, argv, { env, cwd: bench.repo, timeout: 120_000 });
  assert.equal(status, 0, `banger ${argv.join(" ")}\n${stdout}${stderr}`);
  return stdout.toString("latin1");
}

const inGuest = (...argv: string[]) => banger("vm", "exec", "box", "--cwd", guestPath, "--", ...argv);

const guestTree = () =>
  inGuest(
    "sh",
    "-c",
    "export GIT_INDEX_FILE=/tmp/index; rm -f $GIT_INDEX_FILE; git add -A && git write-tree",
  ).trim();

function assertSame(...flags: string[]): void {
  const status = ["git", "status", "--porcelain", "-z", ...flags];
  assert.equal(inGuest(...status), bench.git(...status.slice(1)));
  for (const diff of [["diff"], ["diff", "--cached"]]) {
    assert.equal(inGuest("git", ...diff, "--binary"), bench.git(...diff, "--binary"));
  }
}

/** Every kind of path, then every kind of change. */
function fillRepository(): void {
  const library = join(bench.root, "library");
  mkdirSync(library);
  bench.gitIn(library, "init", "-q");
  bench.write("lib.c", "int x;\n", library);
  bench.gitIn(library, "add", "-A");
  bench.gitIn(library, "commit", "-q", "-m", "library");
  for (const name of ["with space", "new\nline", "\xff\xfe", 'quo"te', "-dash", "d/deep/er", "gone"]) {
    bench.write(name, `${name}\n`);
  }
  bench.write(".gitignore", "*.secret\n");
  bench.write("tool.sh", "#!/bin/sh\n");
  bench.write("old-name", "the same text\n".repeat(20));
  bench.write("pointer.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n");
  bench.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
  bench.link("link", "d/deep");
  bench.commit("first");
  bench.git("submodule", "--quiet", "add", library, "vendor/lib");
  bench.commit("second");
  bench.write("with space", "staged\n");
  bench.git("add", "with space");
  bench.write("with space", "edited\n");
  bench.git("mv", "old-name", "new-name");
  rmSync(join(bench.repo, "gone"));
  chmodSync(join(bench.repo, "tool.sh"), 0o755);
  bench.write("vendor/lib/lib.c", "int y;\n");
  bench.write("a.secret", "ignored");
  bench.write("un\ntracked", "u");
}

test("a work tree with every kind of path goes in, is the same there, and a change comes back as a patch", () => {
  fillRepository();
  banger("vm", "workspace", "prepare", "box", "--mode", "full_copy", "--include-untracked");
  assertSame();
  assert.equal(inGuest("git", "log", "--format=%H"), bench.git("log", "--format=%H"));
  assert.equal(inGuest("git", "config", "user.email"), "ada@example.com\n");
  assert.equal(inGuest("cat", "pointer.bin"), readFileSync(join(bench.repo, "pointer.bin"), "utf8"));
  assert.doesNotMatch(inGuest("ls"), /secret/);
  assert.equal(guestTree(), bench.treeOf(bench.repo));
  const change =
    "printf 'a\\0b' >\"$(printf '\\377\\376')\"; echo new >made; rm new-name; chmod -x tool.sh; ln -sfn d link; " +
    "echo z >>vendor/lib/lib.c; git commit -qam inside; echo more >>d/deep/er; echo s >b.secret";
  inGuest("sh", "-c", change);
  const patch = banger("vm", "workspace", "export", "box");
  bench.apply(patch);
  assert.equal(guestTree(), bench.treeOf(bench.repo));
  assert.equal(readFileSync(join(bench.repo, "vendor/lib/lib.c"), "utf8"), "int y;\nz\n");
  banger("vm", "workspace", "export", "box", "--commits", "-o", join(bench.root, "bundle"));
  bench.git("fetch", "-q", join(bench.root, "bundle"), "HEAD");
  assert.equal(bench.git("log", "-1", "--format=%s", "FETCH_HEAD"), "inside\n");
});

test("commands start in the checkout; exports of it at once are each whole, whoever it belongs to there", async () => {
  const where = (...argv: string[]) => banger("vm", "exec", "box", ...argv, "--", "pwd");
  assert.equal(where(), `${guestPath}\n`);
  assert.equal(where("--cwd", "d/deep"), `${guestPath}/d/deep\n`);
  assert.equal(where("--cwd", "/usr"), "/usr\n");
  const missing = spawnSync(program, ["vm", "exec", "box", "--cwd", "none", "--", "pwd"], {
    env,
    encoding: "utf8",
  });
  assert.match(missing.stderr, /\/root\/repo\/none cannot be entered: No such file or directory/);
  inGuest("sh", "-c", "mkdir app; cd app; git init -q; echo 1 >main.c; cd ..; chown -R 1234 .");
  const right = banger("vm", "workspace", "export", "box");
  assert.match(right, /^diff --git a\/app\/main.c b\/app\/main.c$/m);
  const exported = async () => {
    const child = spawn(program, ["vm", "workspace", "export", "box"], { env });
    const [patch, said] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    assert.match(said, /^app\/ is a repository of its own/m);
    return Buffer.from(patch).toString("latin1");
  };
  const all = await Promise.all([exported(), exported(), exported()]);
  for (const patch of all) assert.equal(patch, Buffer.from(right, "latin1").toString("latin1"));
  inGuest("rm", "-rf", guestPath);
  assert.equal(where(), "/root\n");
});

test("a shallow clone is one in the guest, for git too", () => {
  const [library, clone] = [join(bench.root, "library"), join(bench.root, "clone")];
  bench.gitIn(library, "commit", "-q", "--allow-empty", "-m", "a second one");
  bench.git("clone", "-q", "--depth", "1", `file://${library}`, clone);
  banger("vm", "workspace", "prepare", "box", clone, "--guest-path", "/root/shallow");
  const git = (...argv: string[]) => banger("vm", "exec", "box", "--", "git", ...argv);
  assert.equal(git("log", "--format=%H"), bench.gitIn(clone, "log", "--format=%H"));
  git("fsck", "--strict");
  git("gc", "--quiet");
});

test("a work tree of git worktree goes in without its repository's history, and again after a change", () => {
  const tree = join(bench.root, "tree");
  bench.git("worktree", "add", "-q", "--detach", tree, "HEAD~1");
  bench.write("d/deep/er", "edited in the worktree\n", tree);
  banger("vm", "workspace", "prepare", "box", join(tree, "d"));
  const status = ["status", "--porcelain", "-z"];
  assert.equal(inGuest("git", ...status), bench.gitIn(tree, ...status));
  assert.equal(inGuest("git", "rev-parse", "HEAD"), bench.gitIn(tree, "rev-parse", "HEAD"));
  rmSync(join(tree, "-dash"));
  banger("vm", "workspace", "prepare", "box", tree);
  assert.equal(inGuest("git", ...status), bench.gitIn(tree, ...status));
  inGuest("touch", "mine");
  const refused = spawnSync(program, ["vm", "workspace", "prepare", "box", tree], { env, encoding: "utf8" });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /changed in the guest.*\n {2}try: .*workspace export box/);
});

test("vm run PATH runs the command where PATH is, on a branch of its own, and hands its status through", () => {
  bench.git("submodule", "--quiet", "deinit", "-f", "--all");
  bench.git("rm", "-qf", "vendor/lib");
  bench.git("commit", "-qm", "no submodule");
  const listed = banger("vm", "run", ".", "--dry-run");
  assert.ok(listed.includes('"new\\nline"\n') && !listed.includes("secret"), listed);
  const script = "pwd; git symbolic-ref HEAD; cat '../with space'; exit 5";
  const argv = ["vm", "run", "--rm", ...small, "d", "--branch", "try", "--", "sh", "-c", script];
  const run = spawnSync(program, argv, { env, cwd: bench.repo, encoding: "utf8", timeout: 300_000 });
  assert.equal(run.status, 5, run.stderr);
  assert.equal(run.stdout, `${guestPath}/d\nrefs/heads/try\nedited\n`);
  assert.match(run.stderr, /untracked files? stays? on the host.*--include-untracked/);
});

/** What a new guest takes over from its user: files with their modes, links and directories, and git's identity. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { FileSync } from "../../src/config/values.js";
import { packSeed } from "../../src/effects/seed/archive.js";
import { userFilesReader } from "../../src/effects/seed/user-files.js";
import { toolRunner } from "../../src/host/run-tool.js";

const signal = new AbortController().signal;

function userHome(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), "banger-user-"));
  t.after(() => rmSync(home, { recursive: true }));
  return home;
}

const guest = { trustHostCa: false, caCertificates: [], proxy: null, noProxy: null };
const read = (home: string, fileSync: FileSync[], path = process.env["PATH"] ?? "") =>
  userFilesReader({ fileSync, userHome: home, environment: {}, runTool: toolRunner(path), guest })(signal);

const sync = (host: string, guest = "root/x", mode = 0o600): FileSync => ({ host, guest, mode });

test("files get the mode that they are given, directories keep theirs, links stay links", async (t) => {
  const home = userHome(t);
  mkdirSync(join(home, "tree/bin"), { recursive: true });
  writeFileSync(join(home, "tree/bin/run"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(home, "tree/secret"), "s", { mode: 0o640 });
  chmodSync(join(home, "tree"), 0o750);
  symlinkSync("bin/run", join(home, "tree/link"));
  symlinkSync("tree/secret", join(home, "top"));
  const { files, skipped } = await read(home, [
    sync("~/tree", "root/tree"),
    sync(`${home}/top`, "root/top"),
    sync("~/none"),
  ]);
  assert.deepEqual(
    files.map(({ path, mode, link, once }) => [path, mode.toString(8), link, once]),
    [
      ["root/tree/", "750", undefined, true],
      ["root/tree/bin/", "755", undefined, true],
      ["root/tree/bin/run", "755", undefined, true],
      ["root/tree/link", "777", "bin/run", true],
      ["root/tree/secret", "640", undefined, true],
      ["root/top", "600", undefined, true],
    ],
  );
  assert.equal(String(files.at(-1)?.content), "s");
  assert.deepEqual(skipped, [sync("~/none")]);
  const listed = execFileSync("tar", ["-tv"], { input: packSeed(files, 0), encoding: "utf8" });
  assert.match(listed, /lrwxrwxrwt .* root\/tree\/link -> bin\/run/, "the sticky bit says: once");
});

test("what is there and cannot be taken fails: no file, too large, a name too long for the seed", async (t) => {
  const home = userHome(t);
  execFileSync("mkfifo", [join(home, "pipe")]);
  await assert.rejects(read(home, [sync("~/pipe")]), { code: "file_sync_failed", retry: "never" });
  writeFileSync(join(home, "large"), "");
  truncateSync(join(home, "large"), 65 * 1024 * 1024);
  await assert.rejects(read(home, [sync("~/large")]), { code: "file_sync_failed", message: /64 MiB/ });
  writeFileSync(join(home, "large"), "");
  const { files } = await read(home, [sync("~/large", `root/${"n".repeat(200)}`)]);
  assert.throws(() => packSeed(files, 0), { code: "path_too_long" });
});

test("git's identity goes along as git itself would read it, whatever is in the name", async (t) => {
  const home = userHome(t);
  assert.deepEqual((await read(home, [])).files, []);
  const env = { HOME: home, PATH: process.env["PATH"] };
  const name = 'Ann "the \\ builder" O\'Neil; # not a comment';
  execFileSync("git", ["config", "--global", "user.name", name], { env });
  execFileSync("git", ["config", "--global", "user.email", "ann@example.org"], { env });
  const [file, ...more] = (await read(home, [])).files;
  assert.deepEqual([file?.path, file?.once, more], ["root/.gitconfig", true, []]);
  const copy = join(home, "copy");
  writeFileSync(copy, String(file?.content));
  const get = (key: string) =>
    execFileSync("git", ["config", "--file", copy, "--get", key], { encoding: "utf8" }).trimEnd();
  assert.deepEqual([get("user.name"), get("user.email")], [name, "ann@example.org"]);
  assert.deepEqual((await read(home, [], "/nonexistent")).files, [], "a host without git has no identity");
});

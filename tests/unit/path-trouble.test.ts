/** What an errno means at a place: the part of the path that is the cause, and a command that puts it right. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { pathTrouble, unwritable } from "../../src/host/path-trouble.js";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(realpathSync(tmpdir()), "banger-trouble-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const errno = (code: string) => Object.assign(new Error(code), { code });

test("the part that is not a directory, or a link to nowhere, is named", () => {
  writeFileSync(join(directory, "file"), "");
  symlinkSync("nowhere", join(directory, "link"));
  const at = (name: string, code: string) =>
    pathTrouble(join(directory, name, "banger/run/api.sock"), errno(code));
  assert.equal(at("file", "ENOTDIR")?.cause, `${directory}/file is not a directory`);
  assert.equal(at("link", "ENOENT")?.cause, `${directory}/link is a dangling symlink`);
  assert.equal(at("missing", "ENOENT"), undefined);
});

test("each cause of the host's has a sentence without its errno, and a command", () => {
  for (const code of ["EROFS", "ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENAMETOOLONG", "EACCES"]) {
    const error = unwritable(join(directory, "log"), errno(code));
    assert.equal(error.code, "home_unwritable");
    assert.doesNotMatch(error.message, new RegExp(code));
    assert.ok(error.hint);
  }
  assert.match(unwritable(join(directory, "log"), errno("EIO")).message, /EIO/);
});

test("another's closed directory is told with its owner and the way to the own home", () => {
  const shut = join(directory, "theirs");
  mkdirSync(shut);
  chmodSync(shut, 0o000);
  chmodSync(directory, 0o755);
  const module = fileURLToPath(new URL("../../src/host/path-trouble.js", import.meta.url));
  const script = `import("${module}").then(({ pathTrouble }) => {
    const { cause, hint } = pathTrouble("${shut}/.local/state", { code: "EACCES" });
    process.stdout.write(cause + "\\n" + hint);
  })`;
  // Root may enter everywhere, so that only another user meets a closed door.
  const asRoot = process.getuid?.() === 0;
  const wrapper = asRoot ? ["setpriv", "--reuid", "65534", "--clear-groups"] : ["env"];
  const { stdout } = spawnSync(wrapper[0] as string, [...wrapper.slice(1), process.execPath, "-e", script], {
    encoding: "utf8",
  });
  const wanted = asRoot
    ? /^\S+theirs belongs to root, and you \(nobody\) have no permission to enter it\nexport HOME=/
    : /^its mode does not let you enter \S+theirs\nchmod u\+rwx /;
  assert.match(stdout, wanted);
  chmodSync(shut, 0o700);
});

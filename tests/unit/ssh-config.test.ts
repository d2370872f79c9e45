/** The user's own ssh configuration gets three lines from ssh-config and loses them again, byte for byte. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { bangerSshConfig, isIncluded, withInclude, withoutInclude } from "../../src/ssh-config.js";

const program = new URL("../../../bin/banger", import.meta.url).pathname;
const include = "/home/ann/.config/banger/ssh_config";
const path = "/home/ann/.ssh/config";

test("whatever the file holds, install is idempotent and uninstall leaves it as it was", () => {
  const line = fc.constantFrom(
    "Host *",
    "  User ann",
    "",
    "# >>> banger",
    "Include x\r",
    "\u00e4",
    "# <<< banger <<<",
  );
  const file = fc.oneof(
    fc.constant(null),
    fc.array(line).map((lines) => lines.join("\n")),
    fc.array(line).map((lines) => lines.map((each) => `${each}\n`).join("")),
    fc.string(),
  );
  fc.assert(
    fc.property(file, (before) => {
      const installed = withInclude(before, include, path);
      assert.ok(installed.startsWith("# >>> banger"), "an Include below a Host would be a part of it");
      assert.ok(isIncluded(installed));
      assert.equal(withInclude(installed, include, path), installed);
      assert.equal(withInclude(withInclude(installed, "/elsewhere", path), include, path), installed);
      assert.equal(withoutInclude(installed, path), before);
    }),
  );
});

test("what was written below the lines stays; what has lost its end is left alone", () => {
  const installed = `${withInclude(null, include, path)}Host other\n`;
  assert.equal(withoutInclude(installed, path), "Host other\n");
  assert.equal(withoutInclude("Host other\n", path), "Host other\n");
  const damaged = installed.replace("# <<< banger <<<\n", "");
  for (const change of [() => withoutInclude(damaged, path), () => withInclude(damaged, include, path)]) {
    assert.throws(change, { code: "ssh_config_damaged" });
  }
});

test("OpenSSH reads it, paths with spaces and percent signs included", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "banger ssh %h-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const parts = {
    keyPath: `${directory}/key`,
    knownHostsPath: `${directory}/known`,
    program: `${directory}/banger`,
  };
  const file = join(directory, "config");
  writeFileSync(file, bangerSshConfig(parts));
  const seen = execFileSync("ssh", ["-G", "-F", file, "box.vm"], { encoding: "utf8" });
  assert.match(seen, /^user root$/m);
  assert.match(seen, /^stricthostkeychecking true$/m);
  assert.ok(seen.includes("ssh-proxy %h"), seen);
  const other = execFileSync("ssh", ["-G", "-F", file, "box.example"], { encoding: "utf8" });
  assert.doesNotMatch(other, /proxycommand/);
});

function bench(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), "banger-sshc-"));
  t.after(() => rmSync(root, { recursive: true }));
  const env = {
    ...process.env,
    HOME: root,
    XDG_CONFIG_HOME: join(root, "conf"),
    XDG_STATE_HOME: join(root, "st"),
  };
  const banger = (...argv: string[]) =>
    execFileSync(program, ["ssh-config", ...argv], { env, encoding: "utf8" });
  return { root, banger, users: join(root, ".ssh/config"), own: join(root, "conf/banger/ssh_config") };
}

test("the command writes its own file, and the user's only when asked", (t) => {
  const { banger, users, own } = bench(t);
  assert.match(banger(), /^Host \*\.vm$/m);
  assert.ok(existsSync(own) && !existsSync(users));
  banger("--install");
  const installed = readFileSync(users, "utf8");
  assert.equal(statSync(users).mode & 0o777, 0o600);
  banger("--install");
  assert.equal(readFileSync(users, "utf8"), installed);
  banger("--uninstall");
  assert.ok(!existsSync(own) && !existsSync(users));
  assert.throws(() => banger("--install", "--uninstall"), { status: 2 });
});

test("a linked file is changed where it lies, and keeps link, mode and bytes", (t) => {
  const { root, banger, users } = bench(t);
  const real = join(root, "dotfiles-config");
  const bytes = Buffer.from([0x48, 0xff, 0x0d, 0x0a, 0xc3, 0x28]);
  mkdirSync(join(root, ".ssh"));
  writeFileSync(real, bytes);
  chmodSync(real, 0o640);
  symlinkSync(real, users);
  banger("--install");
  assert.ok(lstatSync(users).isSymbolicLink());
  assert.match(readFileSync(real, "latin1"), /^# >>> banger >>>\nInclude "/);
  banger("--uninstall");
  assert.ok(lstatSync(users).isSymbolicLink());
  assert.deepEqual(readFileSync(real), bytes);
  assert.equal(statSync(real).mode & 0o777, 0o640);
});

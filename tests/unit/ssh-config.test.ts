/** The user's own ssh configuration gets three lines from ssh-config and loses them again, byte for byte. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
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
import {
  bangerSshConfig,
  includeLine,
  isIncluded,
  sshPath,
  withInclude,
  withoutInclude,
} from "../../src/home/ssh-config.js";
import { reached } from "../reached.js";

const program = new URL("../../../bin/banger", import.meta.url).pathname;
const include = includeLine("/home/ann/.config/banger/ssh_config");
const path = "/home/ann/.ssh/config";

test("whatever the file holds, install is idempotent and uninstall leaves it as it was", (t) => {
  const hit = reached(t, { none: 5, lines: 20, "a mark of somebody else": 3 });
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
      hit(before === null ? "none" : "lines");
      if (before?.includes("# >>> banger")) hit("a mark of somebody else");
      assert.ok(installed.startsWith("# >>> banger"), "an Include below a Host would be a part of it");
      assert.ok(isIncluded(installed));
      assert.equal(withInclude(installed, include, path), installed);
      assert.equal(
        withInclude(withInclude(installed, includeLine("/elsewhere"), path), include, path),
        installed,
      );
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

/** What paths of homes can have that ssh_config(5), its patterns, its tokens or a shell would take for their own. */
const oddNames = [
  "josé",
  "日本",
  "two words",
  "100%",
  "a%h",
  "it's",
  'quo"te',
  "back\\slash",
  "a*[b]?c",
  "$HOME `id`",
  "#x",
];

test("OpenSSH reads the same paths, whatever letters the home's name has, and finds them through the user's file", (t) => {
  for (const name of ["plain", ...oddNames]) {
    const { root, banger, users } = bench(t, name);
    banger("--install");
    const seen = execFileSync("ssh", ["-G", "-F", users, "box.vm"], { encoding: "utf8" });
    const value = (key: string) => new RegExp(`^${key} (.*)$`, "m").exec(seen)?.[1];
    assert.equal(value("user"), "root", name);
    assert.equal(value("stricthostkeychecking"), "true");
    assert.equal(value("identityfile")?.replaceAll("%%", "%"), `${root}/st/banger/ssh/id_ed25519`);
    assert.equal(value("userknownhostsfile")?.replaceAll("%%", "%"), `${root}/st/banger/ssh/known_hosts`);
    assert.match(value("proxycommand") ?? "", /ssh-proxy %h$/);
    const other = execFileSync("ssh", ["-G", "-F", users, "box.example"], { encoding: "utf8" });
    assert.doesNotMatch(other, /proxycommand/);
    banger("--uninstall");
    assert.ok(!existsSync(users));
  }
});

test("the program that carries the connection is run whatever its path", (t) => {
  for (const name of oddNames) {
    const directory = join(mkdtempSync(join(tmpdir(), "banger-sshp-")), name);
    t.after(() => rmSync(join(directory, ".."), { recursive: true }));
    mkdirSync(directory);
    const parts = { keyPath: "/k", knownHostsPath: "/h", program: join(directory, "banger") };
    writeFileSync(parts.program, `#!/bin/sh\necho "$@" >"$0.said"\n`, { mode: 0o755 });
    writeFileSync(join(directory, "config"), bangerSshConfig(parts));
    spawnSync("ssh", ["-F", join(directory, "config"), "box.vm"], { stdio: "ignore", timeout: 20_000 });
    assert.equal(readFileSync(`${parts.program}.said`, "utf8"), "ssh-proxy box.vm\n", name);
  }
});

test("a path that OpenSSH's configuration cannot hold is refused", () => {
  for (const path of ["/a\nb", "/a${HOME}/b", "/a\rb"]) {
    assert.throws(() => sshPath(path), { code: "ssh_config_unwritable" });
    assert.throws(() => includeLine(path), { code: "ssh_config_unwritable" });
  }
});

function bench(t: TestContext, name = "home") {
  const top = mkdtempSync(join(tmpdir(), "banger-sshc-"));
  t.after(() => rmSync(top, { recursive: true }));
  const root = join(top, name);
  mkdirSync(root);
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

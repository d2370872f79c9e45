/** The helper's programs: which it runs, that nobody else can have replaced them, and how far they may go. */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "node:test";
import { pathOnly } from "../../helper/libc.js";
import { HostFailure, Refusal } from "../../helper/refusal.js";
import { openTool, type ToolTable, toolDeadlineMs, toolRunner, tools, toolsOf } from "../../helper/tools.js";
import { executable, openTrusted } from "../../helper/trusted.js";
import { systemClock } from "../../src/lib/clock.js";
import { ManualClock } from "../manual-clock.js";
import { needsRoot, trustedPlace } from "./trusted-place.js";

const never = new AbortController().signal;
const byRule = (rule: string) => (error: unknown) => error instanceof Refusal && error.rule === rule;
const byCode = (code: string) => (error: unknown) => error instanceof HostFailure && error.code === code;

const withTool = (...paths: string[]): ToolTable => ({
  ...toolsOf({ firecracker: null, jailer: null }),
  ip: { paths, hint: "hint it" },
});
const runner = (paths: string[], signal = never, clock = systemClock) =>
  toolRunner(clock, signal, withTool(...paths));

test("the table names real places of the system only", () => {
  for (const [name, { paths }] of Object.entries(tools))
    for (const path of paths) assert.match(path, /^\/usr\/s?bin\/[a-z-]+$/, name);
});

test("a program runs by its open file, under its name, with an empty environment", {
  skip: needsRoot,
}, async () => {
  process.env["BANGER_SECRET"] = "1";
  const { stdout } = await runner(["/usr/bin/env"])("ip", []);
  assert.deepEqual(stdout.trim().split("\n").sort(), ["LC_ALL=C", "PATH=/usr/sbin:/usr/bin"]);
  const named = await runner(["/usr/bin/cat"])("ip", ["/proc/self/cmdline"]);
  assert.equal(named.stdout, "ip\0/proc/self/cmdline\0");
  const links = await runner(["/usr/bin/ls"])("ip", ["-l", "/proc/self/cwd", "/proc/self/fd"]);
  assert.match(links.stdout, /cwd -> \/\n/);
  assert.ok(!links.stdout.includes("/usr/bin/ls"), "the program's own descriptor is closed when it runs");
  assert.equal((await runner(["/usr/bin/cat"])("ip", [], { input: "hello\n" })).stdout, "hello\n");
});

test("arguments are no shell's: they reach the program as they are", { skip: needsRoot }, async () => {
  const argv = ["$(id)", "; id", "a b", "*", "`id`", ""];
  const { stdout } = await runner(["/usr/bin/printf"])("ip", ["%s|", ...argv]);
  assert.equal(stdout, `${argv.join("|")}|`);
});

test("a status is good or the tool's last line is the failure", { skip: needsRoot }, async () => {
  const cat = runner(["/usr/bin/cat"]);
  await assert.rejects(cat("ip", ["/nothing/there"]), (error: HostFailure) => {
    assert.match(error.message, /^ip \/nothing\/there: .*No such file/);
    return byCode("tool_failed")(error);
  });
  assert.equal((await cat("ip", ["/nothing/there"], { goodStatus: [0, 1] })).status, 1);
  await assert.rejects(cat("ip", ["a\0b"]), /null bytes/);
});

test("what is not installed is named with its package; what cannot be trusted is passed over", {
  skip: needsRoot,
}, async (t) => {
  const place = trustedPlace(t);
  await assert.rejects(runner([`${place}/none`])("ip", []), (error: HostFailure) => {
    assert.equal(error.hint, "hint it");
    return error.retry === "never" && byCode("tool_missing")(error);
  });
  copyFileSync("/usr/bin/env", `${place}/loose`);
  chmodSync(`${place}/loose`, 0o775);
  await assert.rejects(runner([`${place}/loose`, `${place}/none`])("ip", []), byRule("root-writable"));
  await runner([`${place}/none`, `${place}/loose`, "/usr/bin/true"])("ip", []);
});

test("a program that somebody else could have replaced is not run", { skip: needsRoot }, (t) => {
  const place = trustedPlace(t);
  const make = (name: string, change: (path: string) => void) => {
    mkdirSync(`${place}/${name}`);
    const path = `${place}/${name}/tool`;
    copyFileSync("/usr/bin/env", path);
    chmodSync(path, 0o755);
    change(path);
    return path;
  };
  const table: [string, string, (path: string) => void][] = [
    ["not root's", "root-owned", (path) => chownSync(path, 4321, 0)],
    ["group may write", "root-writable", (path) => chmodSync(path, 0o775)],
    ["all may write", "root-writable", (path) => chmodSync(path, 0o757)],
    ["directory not root's", "root-owned", (path) => chownSync(path.replace(/\/tool$/, ""), 4321, 0)],
    ["directory's group may write", "root-writable", (path) => chmodSync(path.replace(/\/tool$/, ""), 0o775)],
    ["sticky directory", "root-writable", (path) => chmodSync(path.replace(/\/tool$/, ""), 0o1777)],
    ["no program", "executable", (path) => chmodSync(path, 0o644)],
    [
      "a symlink",
      "no-symlink",
      (path) => {
        renameSync(path, `${path}.real`);
        symlinkSync("tool.real", path);
      },
    ],
    [
      "a symlink on the way",
      "no-symlink",
      (path) => {
        const directory = path.replace(/\/tool$/, "");
        renameSync(directory, `${directory}.real`);
        symlinkSync(`${directory}.real`, directory);
      },
    ],
    [
      "a directory",
      "regular-file",
      (path) => {
        renameSync(path, `${path}.real`);
        mkdirSync(path);
      },
    ],
  ];
  closeSync(executable(make("sound", () => {})));
  for (const [name, rule, change] of table) {
    const path = make(name.replaceAll(/\W/g, "-"), change);
    assert.throws(() => executable(path), byRule(rule), name);
    assert.throws(() => openTool("ip", { paths: [path], hint: "x" }), byRule(rule), name);
  }
  for (const path of ["usr/bin/env", "/usr/../usr/bin/env", "/usr//bin/env", "/", "", "/usr/bin/env\0x", "."])
    assert.throws(() => executable(path), byRule("normal-path"), path);
  assert.throws(() => openTrusted("/usr/bin/none-such", pathOnly), { code: "ENOENT" });
});

test("what was judged is what runs, though its name has gone to something else since", {
  skip: needsRoot,
}, (t) => {
  const place = trustedPlace(t);
  copyFileSync("/usr/bin/env", `${place}/tool`);
  chmodSync(`${place}/tool`, 0o755);
  const before = readdirSync("/proc/self/fd").length;
  const fd = executable(`${place}/tool`);
  renameSync(`${place}/tool`, `${place}/old`);
  writeFileSync(`${place}/tool`, "other", { mode: 0o755 });
  assert.equal(readdirSync("/proc/self/fd").length, before + 1, "the way there leaves no descriptor open");
  closeSync(fd);
});

test("a tool ends with its call, with its deadline, and when it says too much", {
  skip: needsRoot,
}, async () => {
  const call = new AbortController();
  const cut = assert.rejects(
    runner(["/usr/bin/sleep"], call.signal)("ip", ["3600"]),
    /the call's own reason/,
  );
  call.abort(new Error("the call's own reason"));
  await cut;
  await assert.rejects(runner(["/usr/bin/true"], call.signal)("ip", []), /the call's own reason/);

  const clock = new ManualClock();
  const late = assert.rejects(runner(["/usr/bin/sleep"], never, clock)("ip", ["3600"]), byCode("tool_late"));
  await clock.advance(toolDeadlineMs);
  await late;

  await assert.rejects(runner(["/usr/bin/yes"])("ip", []), byCode("tool_output"));
});

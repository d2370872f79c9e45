/** Reading /proc: odd command names, quoted options, processes that are not ours. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, describe, test } from "node:test";
import {
  identify,
  isAlive,
  parseCmdline,
  parseOption,
  parseStat,
  scanProcesses,
  vmOfArgv,
  vmOfJailedArgv,
} from "../../src/effects/proc.js";
import { type Home, vmHandles } from "../../src/handles.js";

const home: Home = { state: "/s,1", data: "/d", cache: "/c", config: "/f", runtime: "/run,2" };
const id = "0123abcd";
const stat = (state: string, startTime: string) =>
  `42 (a) b (c) ${state} 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 ${startTime} 100 5 18446744073709551615`;

describe("parseStat", () => {
  test("a command name may hold parentheses and spaces", () => {
    assert.deepEqual(parseStat(stat("S", "98765")), { state: "S", startTime: "98765" });
  });

  test("what is not a stat line is nothing", () => {
    for (const text of ["", "42 (sh", "42 (sh) S 1", "no parentheses at all"])
      assert.equal(parseStat(text), undefined);
  });
});

test("a command line keeps empty arguments and ends with its last one", () => {
  assert.deepEqual(parseCmdline("a\0\0b c\0"), ["a", "", "b c"]);
  assert.deepEqual(parseCmdline(""), []);
});

test("a doubled comma in an option is a comma", () => {
  assert.deepEqual(parseOption("unix:/run,,2/q.sock,server=on"), ["unix:/run,2/q.sock", "server=on"]);
});

/** The argv of the VMM of `id`, with the control socket of `ofHome`. */
function argvOf(ofHome: Home): string[] {
  const { guestName, qmpSocket } = vmHandles(ofHome, id);
  const path = qmpSocket.replaceAll(",", ",,");
  const chardev = `socket,id=qmp,path=${path},server=on`;
  return ["qemu", "-name", `guest=${guestName},debug-threads=on`, "-chardev", chardev];
}

describe("vmOfArgv", () => {
  test("knows the VM by its name and its socket", () => assert.equal(vmOfArgv(home, argvOf(home)), id));

  test("the VM of another home is not ours", () => {
    assert.equal(vmOfArgv(home, argvOf({ ...home, runtime: "/other" })), undefined);
  });

  test("a process that only mentions a VM is not its VMM", () => {
    assert.equal(vmOfArgv(home, ["grep", `guest=banger-${id}`]), undefined);
    assert.equal(vmOfArgv(home, ["qemu", "-name"]), undefined);
  });
});

describe("scanProcesses", () => {
  const root = mkdtempSync(`${tmpdir()}/banger-proc-`);
  after(() => rmSync(root, { recursive: true }));
  const put = (pid: string, argv: string[], statLine: string) => {
    mkdirSync(`${root}/${pid}`);
    writeFileSync(`${root}/${pid}/cmdline`, argv.map((a) => `${a}\0`).join(""));
    writeFileSync(`${root}/${pid}/stat`, statLine);
  };

  test("finds the older of two VMMs of a VM, and neither zombies nor others", () => {
    put("10", ["sh"], stat("S", "1"));
    put("11", argvOf(home), stat("S", "1000"));
    put("12", argvOf(home), stat("R", "999"));
    put("13", argvOf(home), stat("Z", "5"));
    mkdirSync(`${root}/14`);
    const scan = scanProcesses(home, root);
    assert.deepEqual([...scan.byVm], [[id, { pid: 12, startTime: "999", kind: "qemu" }]]);
    assert.equal(scan.unreadable, undefined);
  });

  test("a process of ours that makes no sense is a cause for doubt", () => {
    put("15", argvOf(home), "garbage");
    assert.match(scanProcesses(home, root).unreadable ?? "", /15\/stat/);
  });

  test("a /proc that cannot be listed is an error", () => {
    assert.throws(() => scanProcesses(home, `${root}/nowhere`));
  });
});

/** As jailer starts it. */
const jailedArgv = (jailId: string) => ["/firecracker", "--id", jailId, "--start-time-us", "1"];

describe("a jailed Firecracker", () => {
  const root = mkdtempSync(`${tmpdir()}/banger-jailed-`);
  const jailed: Home = { ...home, state: `${root}/state` };
  after(() => rmSync(root, { recursive: true }));
  /** A process whose directory is `cwd`, which is made. */
  const put = (pid: string, argv: string[], cwd: string) => {
    for (const directory of [`${root}/proc/${pid}`, cwd]) mkdirSync(directory, { recursive: true });
    writeFileSync(`${root}/proc/${pid}/cmdline`, argv.map((a) => `${a}\0`).join(""));
    writeFileSync(`${root}/proc/${pid}/stat`, stat("S", pid));
    symlinkSync(cwd, `${root}/proc/${pid}/cwd`);
  };

  test("is known by its id and its program", () => {
    assert.equal(vmOfJailedArgv(jailedArgv(`banger-${id}`)), id);
    assert.equal(vmOfJailedArgv(jailedArgv(`other-${id}`)), undefined);
    assert.equal(vmOfJailedArgv(["jailer", "--id", `banger-${id}`]), undefined);
    assert.equal(vmOfJailedArgv(["/firecracker", "--id"]), undefined);
  });

  test("is ours when it sits in our jail of that VM", () => {
    const other = "89abcdef";
    put("20", jailedArgv(`banger-${id}`), vmHandles(jailed, id).jailRoot);
    put("21", jailedArgv(`banger-${other}`), `${root}/elsewhere`);
    put("22", jailedArgv(`banger-${other}`), vmHandles(jailed, id).jailRoot);
    const scan = scanProcesses(jailed, `${root}/proc`);
    assert.deepEqual([...scan.byVm], [[id, { pid: 20, startTime: "20", kind: "firecracker" }]]);
    assert.equal(scan.unreadable, undefined);
  });
});

test("this process is alive, and not under another start time", () => {
  const me = identify(process.pid);
  assert.equal(me.is, "present");
  if (me.is !== "present") return;
  assert.equal(isAlive(me), true);
  assert.equal(isAlive({ ...me, startTime: `${me.startTime}1` }), false);
});

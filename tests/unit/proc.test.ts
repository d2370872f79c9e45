/** Reading /proc: odd command names, quoted options, processes that are not ours. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, describe, test } from "node:test";
import { firecrackerSigns } from "../../src/effects/vmm/firecracker/signs.js";
import { type FoundVmm, scanProcesses as scan } from "../../src/effects/vmm/processes.js";
import { parseOption, qemuSigns } from "../../src/effects/vmm/qemu/signs.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { identify, isAlive, parseCmdline, parseStat } from "../../src/host/processes.js";

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

const argvOf = (vm: string) => ["qemu", "-name", `guest=banger-${vm},debug-threads=on`, "-m", "512M"];

test("a VMM names its VM; what only mentions one is none", () => {
  assert.equal(qemuSigns.serves(argvOf(id))?.id, id);
  assert.equal(qemuSigns.serves(["grep", `guest=banger-${id}`]), undefined);
  assert.equal(qemuSigns.serves(["qemu", "-name"]), undefined);
});

const scanProcesses = (home: Home, procRoot: string) => scan(home, [firecrackerSigns, qemuSigns], procRoot);

describe("scanProcesses", () => {
  const root = mkdtempSync(`${tmpdir()}/banger-proc-`);
  after(() => rmSync(root, { recursive: true }));
  const at = (top: string): Home => ({ ...home, state: `${root}/${top}`, runtime: `${root}/${top}/run` });
  const here = at("home");
  const { runtime, directory, workDisk } = vmHandles(here, id);
  for (const place of [runtime, directory]) mkdirSync(place, { recursive: true });
  writeFileSync(workDisk, "");
  const put = (proc: string, pid: string, argv: string[], statLine: string, cwd: string) => {
    mkdirSync(`${root}/${proc}/${pid}/fd`, { recursive: true });
    writeFileSync(`${root}/${proc}/${pid}/cmdline`, argv.map((a) => `${a}\0`).join(""));
    writeFileSync(`${root}/${proc}/${pid}/stat`, statLine);
    symlinkSync(cwd, `${root}/${proc}/${pid}/cwd`);
  };
  const found = (ofHome: Home, proc: string) => [...scanProcesses(ofHome, `${root}/${proc}`).byVm];

  test("finds the older of two VMMs of a VM, and neither zombies nor others", () => {
    put("a", "10", ["sh"], stat("S", "1"), "/");
    put("a", "11", argvOf(id), stat("S", "1000"), runtime);
    put("a", "12", [...argvOf(id), "-accel", "kvm"], stat("R", "999"), runtime);
    put("a", "13", argvOf(id), stat("Z", "5"), runtime);
    mkdirSync(`${root}/a/14`);
    const scan = scanProcesses(here, `${root}/a`);
    assert.deepEqual(
      [...scan.byVm],
      [[id, { pid: 12, startTime: "999", vmm: qemuSigns, accelerator: "kvm" }]],
    );
    assert.equal(scan.unreadable, undefined);
  });

  test("a home is its directories, not a spelling of them", () => {
    symlinkSync(`${root}/home`, `${root}/link`);
    put("b", "20", [...argvOf(id), "-accel", "tcg,thread=multi"], stat("S", "20"), runtime);
    assert.equal(scanProcesses(here, `${root}/b`).byVm.get(id)?.accelerator, "tcg");
    for (const spelling of ["home", "link", "home/../link", "./home"])
      assert.equal(found(at(spelling), "b").length, 1, spelling);
    mkdirSync(vmHandles(at("other"), id).runtime, { recursive: true });
    assert.deepEqual(found(at("other"), "b"), []);
  });

  test("a VMM whose directory was lost is known by the disk that it has open", () => {
    put("c", "30", argvOf(id), stat("S", "30"), `${root}/gone`);
    assert.deepEqual(found(here, "c"), []);
    symlinkSync(workDisk, `${root}/c/30/fd/9`);
    assert.equal(found(here, "c").length, 1);
  });

  test("a process of ours that makes no sense is a cause for doubt", () => {
    put("a", "15", argvOf(id), "garbage", runtime);
    assert.match(scanProcesses(here, `${root}/a`).unreadable ?? "", /15\/stat/);
  });

  test("a process that hides where it sits is a doubt about a VM of this home, and about no other", () => {
    const hides = (proc: string, pid: string, vmId: string) =>
      put(proc, pid, argvOf(vmId), stat("S", pid), `${root}/${proc}/${pid}/cwd`);
    hides("d", "40", "0badcafe");
    assert.equal(scanProcesses(here, `${root}/d`).unreadable, undefined);
    hides("d", "41", id);
    assert.match(scanProcesses(here, `${root}/d`).unreadable ?? "", /41\/cwd/);
  });

  test("a /proc that cannot be listed is an error", () => {
    assert.throws(() => scanProcesses(here, `${root}/nowhere`));
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
    assert.equal(firecrackerSigns.serves(jailedArgv(`banger-${id}`))?.id, id);
    assert.equal(firecrackerSigns.serves(jailedArgv(`other-${id}`)), undefined);
    assert.equal(firecrackerSigns.serves(["jailer", "--id", `banger-${id}`]), undefined);
    assert.equal(firecrackerSigns.serves(["/firecracker", "--id"]), undefined);
  });

  test("is ours when it sits in our jail of that VM", () => {
    const other = "89abcdef";
    put("20", jailedArgv(`banger-${id}`), vmHandles(jailed, id).jailRoot);
    put("21", jailedArgv(`banger-${other}`), `${root}/elsewhere`);
    put("22", jailedArgv(`banger-${other}`), vmHandles(jailed, id).jailRoot);
    const scan = scanProcesses(jailed, `${root}/proc`);
    assert.deepEqual(
      [...scan.byVm],
      [[id, { pid: 20, startTime: "20", vmm: firecrackerSigns, accelerator: "kvm" }]],
    );
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

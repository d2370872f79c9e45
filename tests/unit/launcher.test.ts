/** The launcher as it is built: what it refuses, what it takes from its caller, and what a confined program opens. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { type Confinement, launcherProgram, vmmArguments } from "../../src/host/launcher.js";
import { reached } from "../reached.js";

const root = mkdtempSync(`${tmpdir()}/banger launcher:`);
after(() => rmSync(root, { recursive: true }));
const own = `${root}/vm`;
const image = `${root}/image`;
const secrets = `${root}/home/.ssh`;
for (const each of [own, image, secrets]) mkdirSync(each, { recursive: true });
for (const path of [`${image}/rootfs`, `${secrets}/id`, `${own}/disk`]) writeFileSync(path, "content\n");

const system = ["/usr", "/lib", "/lib64", "/bin", "/sbin"];
const confinement: Confinement = { read: [...system, "/proc", image], write: ["/dev/null", own] };

const run = (args: readonly string[]) => spawnSync(launcherProgram, args, { encoding: "utf8" });
/** What a shell in a VMM's place prints. */
const inside = (script: string, reach = confinement) =>
  run(vmmArguments(reach, "/bin/sh", ["-c", script, root]));

const landlock = Number(run(["landlock"]).stdout);

describe("what a confined program opens", () => {
  test("this kernel has Landlock, or nothing here could fail", () => assert.ok(landlock >= 1));

  test("a program in QEMU's place does not read its user's keys, and does not list where they lie", () => {
    const read = inside(`cat "$0/home/.ssh/id"`);
    assert.deepEqual([read.stdout, read.status], ["", 1]);
    assert.match(read.stderr, /Permission denied/);
    assert.match(inside(`ls "$0/home/.ssh"`).stderr, /Permission denied/);
    assert.match(inside(`ls "$0"`).stderr, /Permission denied/);
  });

  test("nor does it through a link, or a name, that it makes in its own directory", () => {
    assert.match(inside(`ln -s "$0/home/.ssh/id" "$0/vm/way"`).stderr, /Permission denied/);
    assert.match(
      inside(`ln "$0/home/.ssh/id" "$0/vm/name"`).stderr,
      /Permission denied|Invalid cross-device/,
    );
    assert.match(inside(`mv "$0/home/.ssh/id" "$0/vm/name"`).stderr, /Permission denied|cannot move/);
  });

  test("it reads its image and cannot change it, and changes its own directory", () => {
    assert.equal(inside(`cat "$0/image/rootfs"`).stdout, "content\n");
    assert.match(inside(`echo no >>"$0/image/rootfs"`).stderr, /Permission denied/);
    assert.match(inside(`rm -f "$0/image/rootfs"`).stderr, /Permission denied/);
    const write = inside(`echo yes >>"$0/vm/disk"; : >"$0/vm/new" && cat "$0/vm/disk"`);
    assert.deepEqual([write.stdout, write.stderr], ["content\nyes\n", ""]);
  });

  test("it executes nothing of what it can write", () => {
    const copied = inside(`cp /bin/true "$0/vm/copy" && chmod +x "$0/vm/copy" && "$0/vm/copy"`);
    assert.match(copied.stderr, /vm\/copy: Permission denied/);
  });

  test("it sends no signal to what is outside, where the kernel can refuse that", (t) => {
    if (landlock < 6) return t.skip(`Landlock ${landlock} knows no scopes`);
    assert.match(inside(`kill -0 ${process.pid}`).stderr, /not permitted/i);
  });

  test("a path that is not there opens nothing and keeps nothing from starting", () => {
    const reach = { ...confinement, read: [...confinement.read, `${root}/none`] };
    assert.equal(inside("echo runs", reach).stdout, "runs\n");
  });
});

describe("what a confined program is", () => {
  const status = (name: string, text: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(text)?.[1];

  test("it gets no privileges, and of root's it has at most that of low ports", () => {
    const { stdout } = inside("cat /proc/self/status");
    assert.equal(status("NoNewPrivs", stdout), "1");
    const lowPorts = 1n << 10n;
    for (const set of ["CapPrm", "CapEff", "CapInh", "CapAmb"])
      assert.equal(BigInt(`0x${status(set, stdout)}`) & ~lowPorts, 0n, set);
    if (process.getuid?.() === 0) assert.equal(BigInt(`0x${status("CapBnd", stdout)}`) & ~lowPorts, 0n);
  });

  test("it opens 4096 files, leaves no core, and goes first when memory is short", () => {
    const { stdout } = inside(
      "ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc; umask; cat /proc/self/oom_score_adj",
    );
    assert.deepEqual(stdout.trim().split("\n"), ["4096", "4096", "0", "0", "0077", "500"]);
  });

  test("a limit that is lower stays", () => {
    const args = ["-c", `ulimit -n 300; exec "$0" "$@"`, launcherProgram];
    const limited = spawnSync("/bin/sh", [
      ...args,
      ...vmmArguments(confinement, "/bin/sh", ["-c", "ulimit -n"]),
    ]);
    assert.equal(`${limited.stdout}`, "300\n");
  });

  test("it has its caller's three streams and none of its other descriptors, whose locks end with the caller", async () => {
    const lock = `${root}/lock`;
    openSync(lock, "w");
    const argv = vmmArguments(confinement, "/bin/sh", ["-c", "ls /proc/self/fd; echo; exec sleep 60"]);
    const script = `exec 9>"$1" 200>"$1"; flock -n 9 || exit 1; shift; "$@" & echo started; wait`;
    const holder = spawn("bash", ["-c", script, "bash", lock, launcherProgram, ...argv], {
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    while (!said.includes("\n\n")) said += String((await once(holder.stdout, "data"))[0]);
    const listed = said.replace("started\n", "").trim().split("\n");
    // The fourth is that of ls, by which it reads the list.
    assert.deepEqual(listed, ["0", "1", "2", "3"]);
    assert.equal(spawnSync("flock", ["-n", lock, "true"]).status, 1, "its holder lives");
    holder.kill("SIGKILL");
    await once(holder, "exit");
    assert.equal(spawnSync("flock", ["-n", lock, "true"]).status, 0);
    process.kill(-(holder.pid as number), "SIGKILL");
  });

  test("a listener of its own needs its directory, and works there", () => {
    const reach = { read: [...confinement.read, "/etc", process.execPath], write: confinement.write };
    const listen = (path: string) =>
      run(
        vmmArguments(reach, process.execPath, [
          "-e",
          `const s = require("net").createServer().on("error", (e) => { console.log(e.code); process.exit() });
           s.listen(${JSON.stringify(path)}, () => { console.log("listens"); process.exit() })`,
        ]),
      ).stdout;
    assert.equal(listen(`${own}/s`), "listens\n");
    assert.match(listen(`${root}/s`), /^EACCES/);
  });
});

describe("a daemon", () => {
  const limited = (script: string, argv: readonly string[]) =>
    spawnSync("bash", ["-c", `${script}; exec "$0" daemon -- "$@"`, launcherProgram, ...argv], {
      encoding: "utf8",
    });
  /** Only who has CAP_SYS_RESOURCE may raise a hard limit. */
  const caps = /^CapEff:\s+(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const mayRaise = ((BigInt(`0x${caps}`) >> 24n) & 1n) === 1n;

  test("its soft limits are raised to the hard ones, without a word", () => {
    const { stdout, stderr } = limited("ulimit -S -n 300 -t 100", ["/bin/sh", "-c", "ulimit -n; ulimit -t"]);
    const [files, seconds] = stdout.split("\n");
    assert.ok(Number(files) > 300);
    assert.deepEqual([seconds, stderr], ["unlimited", ""]);
  });

  test("a hard limit that may not be raised stays and is told, unless nothing works with it", () => {
    const some = limited("ulimit -n 300 -t 100", ["/bin/sh", "-c", "ulimit -n; ulimit -t"]);
    const few = limited("ulimit -n 40", ["/bin/echo", "started"]);
    if (mayRaise) {
      assert.deepEqual([some.stdout.includes("300"), some.stderr, few.stdout], [false, "", "started\n"]);
      return;
    }
    assert.equal(some.stdout, "300\n100\n");
    assert.match(some.stderr, /processor time \(ulimit -t\) stays .*\n.*open files \(ulimit -n\) stays/);
    assert.deepEqual([few.status, few.stdout], [71, ""]);
    assert.match(few.stderr, /ulimit -n\) is 40; at least 128 are needed/);
  });

  test("what another user's tool put in its way is gone: nice value, CPU, policy, personality, signals", () => {
    const odd = [
      "setarch",
      "-R",
      "chrt",
      "--batch",
      "0",
      "taskset",
      "-c",
      "0",
      // rt_sigaction(2) of x86_64: a signal that no libc lets its programs ignore.
      "perl",
      "-e",
      'syscall(13, 32, my $ignore = pack("Q4", 1, 0, 0, 0), 0, 8) == 0 or die; exec @ARGV',
      launcherProgram,
      "daemon",
      "--",
    ];
    const looks =
      "cat /proc/$$/personality; grep -E '^(SigIgn|Cpus_allowed_list)' /proc/$$/status; chrt -p $$";
    const { stdout } = spawnSync(
      "sh",
      ["-c", `trap '' HUP USR1; exec "$@"`, "sh", ...odd, "/bin/sh", "-c", looks],
      {
        encoding: "utf8",
      },
    );
    const [personality, ignored, cpus, policy] = stdout.split("\n");
    assert.deepEqual([personality, ignored], ["00000000", "SigIgn:\t0000000000000000"]);
    assert.match(policy ?? "", /SCHED_OTHER/);
    assert.equal(cpus, /^Cpus_allowed_list.*$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[0]);
  });
});

describe("arguments", () => {
  const refused = (args: readonly string[]) => {
    const { status, stdout, stderr } = run(args);
    assert.equal(status, 64, JSON.stringify(args));
    assert.equal(stdout, "");
    assert.match(stderr, /^banger-launcher: .*\nusage: /);
  };

  test("what is not of its few forms starts nothing", () => {
    const touch = ["--", "/bin/touch", `${root}/touched`];
    for (const args of [
      [],
      ["--", "/bin/true"],
      ["root", ...touch],
      ["daemon"],
      ["daemon", "--"],
      ["daemon", "--", "touch", `${root}/touched`],
      ["daemon", "--read", "/", ...touch],
      ["vmm", "--read"],
      ["vmm", "--read", ...touch],
      ["vmm", "--read", "usr", ...touch],
      ["vmm", "--write", "", ...touch],
      ["vmm", "--execute", "/", ...touch],
      ["vmm", "/usr", ...touch],
      ["vmm", "--", ""],
      ["vmm", ...Array.from({ length: 257 }, () => ["--read", "/usr"]).flat(), ...touch],
      ["kvm"],
      ["kvm", "dev"],
      ["kvm", "/dev/null", "/dev/null"],
      ["landlock", "1"],
      ["log", `${root}/touched`],
    ])
      refused(args);
    assert.notEqual(spawnSync("test", ["-e", `${root}/touched`]).status, 0);
  });

  test("whatever the words, it ends with a status of its own, or as the program that stands after --", (t) => {
    const hit = reached(t, { refused: 30, "what stands after --": 20, "the program ran": 50 });
    const word = fc.oneof(
      fc.constantFrom(
        "vmm",
        "daemon",
        "kvm",
        "landlock",
        "log",
        "--read",
        "--write",
        "--",
        "/bin/true",
        "/usr",
        "/",
      ),
      fc.string({ maxLength: 300 }).map((text) => text.replaceAll("\0", "")),
    );
    const words = fc.array(word, { maxLength: 12 });
    const sound = words.map((rest) => ["daemon", "--", "/bin/true", ...rest]);
    fc.assert(
      fc.property(fc.oneof(words, sound), (argv) => {
        const { status, signal } = run(argv);
        assert.equal(signal, null);
        assert.ok([0, 1, 64, 71, 126, 127].includes(status as number), `${status}: ${JSON.stringify(argv)}`);
        const started = argv.includes("--") || ["kvm", "landlock", "log"].includes(argv[0] ?? "");
        if (!started) assert.equal(status, 64);
        hit(started ? "what stands after --" : "refused");
        if (started && status === 0) hit("the program ran");
      }),
      { numRuns: 300 },
    );
  });

  test("a program that is not there, or cannot be executed, ends as with a shell", () => {
    assert.equal(run(["daemon", "--", `${root}/none`]).status, 127);
    assert.equal(run(["daemon", "--", `${image}/rootfs`]).status, 126);
  });

  test("the program's own arguments are passed on as they are, and its path stands before them", () => {
    const argv = ["-c", 'printf "%s|" "$0" "$@"', "--read", "", "--", "é \n*", "-x"];
    assert.equal(run(vmmArguments(confinement, "/bin/sh", argv)).stdout, "--read||--|é \n*|-x|");
  });
});

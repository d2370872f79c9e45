/** A caller that is odd in every way: what daemon, QEMU, image builder and git have of it, as /proc shows them. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { homeHandles } from "../../src/home/handles.js";
import { linesOf } from "../tidy/sources.js";
import { isRunning, program, TestHome, until } from "./harness.js";

/** A process by its directory in /proc. */
class Found {
  readonly command: string;
  constructor(readonly pid: number) {
    this.command = this.text("cmdline").replaceAll("\0", " ");
  }
  text = (name: string): string => readFileSync(`/proc/${this.pid}/${name}`, "latin1").trim();
  status = (name: string): string =>
    new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(this.text("status"))?.[1] ?? "";
  /** Soft and hard, by the name that /proc has. */
  limit = (name: string): [soft: string | undefined, hard: string | undefined] => {
    const [, soft, hard] = new RegExp(`^Max ${name} +(\\S+) +(\\S+)`, "m").exec(this.text("limits")) ?? [];
    return [soft, hard];
  };
  /** As proc(5) counts them, from one. */
  stat = (field: number): string => {
    const stat = this.text("stat");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[field - 3] ?? "";
  };
  get environment(): string[] {
    return this.text("environ").split("\0");
  }
}

/** Processes that have the test's directory in their environment or arguments, or a parent that has. */
function processesOf(root: string): Found[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && isRunning(Number(name)))
    .flatMap((name) => {
      try {
        const found = new Found(Number(name));
        const ours = found.command.includes(root) || found.text("environ").includes(root);
        return [{ found, ours, pid: found.pid, parent: Number(found.status("PPid")) }];
      } catch {
        return [];
      }
    });
  const ours = new Set(all.filter((each) => each.ours).map(({ pid }) => pid));
  return all.filter(({ pid, parent }) => ours.has(pid) || ours.has(parent)).map(({ found }) => found);
}

/**
 * The caller: signals ignored, soft limits, a lock held by two descriptors, a directory of its own, no address
 * randomization, another policy, nice 7, the idle class of I/O, one CPU.
 */
const oddly = `cd "$0/odd" && umask 0 && trap '' HUP INT QUIT USR1 USR2 PIPE TERM ALRM
ulimit -S -n 300 -t 5000 -f 99999999 -d 99999999 -s 4096
exec 9>"$0/lock" 200>"$0/lock" && flock 9
exec setarch -R chrt --batch 0 nice -n 7 ionice -c 3 taskset -c 0 "$@"`;

const oddEnvironment = {
  SECRET_TOKEN: "a secret",
  LD_LIBRARY_PATH: "/odd",
  NODE_OPTIONS: "--require ./hook.cjs",
  NODE_PATH: "/odd",
  NODE_EXTRA_CA_CERTS: "/odd/ca.pem",
  GIT_DIR: "/odd/git",
};
const oddNames = Object.keys(oddEnvironment);
const nodesOwn = oddNames.filter((name) => name.startsWith("NODE_"));
const proxy = "https_proxy=http://127.0.0.1:9";
const children: ChildProcess[] = [];
const homes: TestHome[] = [];

/** A home whose commands come from such a caller. In these places nothing comes to an end, so that it can be looked at. */
function oddHome(...endless: string[]): TestHome {
  const home = new TestHome((root) => ({ PATH: `${root}/bin:${process.env["PATH"]}` }));
  for (const each of ["odd", "bin", "config/banger"]) mkdirSync(join(home.root, each), { recursive: true });
  writeFileSync(`${home.root}/odd/hook.cjs`, "throw new Error('the hook was loaded');");
  writeFileSync(`${home.root}/config/banger/config.toml`, 'qemu_bin = "my-qemu"\n');
  for (const name of endless) {
    writeFileSync(`${home.root}/bin/${name}`, "#!/bin/sh\nwhile :; do sleep 1; done\n");
    chmodSync(`${home.root}/bin/${name}`, 0o755);
  }
  homes.push(home);
  return home;
}

/** Its end is not waited for: of most commands nothing comes to one. */
function call({ root, env }: TestHome, ...args: string[]): ChildProcess {
  const environment = { ...env, ...oddEnvironment, https_proxy: proxy.slice(12) };
  const command = ["-c", oddly, root, program, ...args];
  const child = spawn("bash", command, { env: environment, stdio: "ignore" });
  children.push(child);
  return child;
}

async function find(home: TestHome, what: RegExp): Promise<Found> {
  let found: Found | undefined;
  await until(`${what} runs`, () => {
    found = processesOf(home.root).find(({ command }) => what.test(command));
    return found !== undefined;
  });
  return found as Found;
}

/** Only who has CAP_SYS_NICE may put back the first. */
const wasNice = (BigInt(`0x${new Found(process.pid).status("CapEff")}`) >> 23n) & 1n ? "0" : "7";
const user = (found: Found) => ["Uid", "Gid", "Groups", "CapEff"].map((name) => found.status(name));
const mine = new Found(process.pid);
const lockLeads = (found: Found) =>
  readdirSync(`/proc/${found.pid}/fd`).some((fd) =>
    readlinkSync(`/proc/${found.pid}/fd/${fd}`).endsWith("/lock"),
  );

/** Rows of the table that are the same for all that the daemon is and starts. */
const ordinary: Record<string, (found: Found) => void> = {
  "user, groups": (found) => assert.deepEqual(user(found).slice(0, 3), user(mine).slice(0, 3)),
  umask: (found) => assert.equal(found.status("Umask"), "0077"),
  descriptors: (found) => assert.ok(!lockLeads(found)),
  signals(found) {
    assert.equal(BigInt(`0x${found.status("SigBlk")}`), 0n);
    // Node ignores SIGPIPE and SIGXFSZ for itself, and puts them back for what it starts.
    const nodes = /^(banger daemon|\S*node) /.test(`${found.command} `) ? (1n << 12n) | (1n << 24n) : 0n;
    assert.equal(BigInt(`0x${found.status("SigIgn")}`) & ~nodes, 0n);
  },
  "nice value, scheduling policy, I/O class"(found) {
    assert.deepEqual([found.stat(19), found.stat(41)], [wasNice, "0"]);
    const { stdout } = spawnSync("ionice", ["-p", `${found.pid}`], { encoding: "utf8" });
    assert.match(stdout, /^none/);
  },
  "CPUs, NUMA policy": (found) =>
    assert.equal(found.status("Cpus_allowed_list"), mine.status("Cpus_allowed_list")),
  "core files": (found) => assert.deepEqual(found.limit("core file size"), ["0", "0"]),
  "other limits"(found) {
    for (const name of ["cpu time", "file size", "data size", "address space", "processes"])
      assert.equal(found.limit(name)[0], found.limit(name)[1], name);
    assert.equal(found.limit("stack size")[0], "8388608");
  },
  "session, terminal"(found) {
    assert.equal(found.stat(7), "0");
    assert.notEqual(found.stat(6), mine.stat(6));
  },
  "personality, timer slack, huge pages": (found) => assert.equal(found.text("personality"), "00000000"),
  "control group, namespaces": (found) => assert.equal(found.text("cgroup"), mine.text("cgroup")),
};

const lacks = (names: readonly string[]) => (found: Found) => {
  for (const name of names) assert.ok(!found.environment.some((each) => each.startsWith(`${name}=`)), name);
};
const at = (path: RegExp) => (found: Found) => assert.match(readlinkSync(`/proc/${found.pid}/cwd`), path);
const scores = (score: string) => (found: Found) => assert.equal(found.text("oom_score_adj"), score);
const privileges = (none: string) => (found: Found) => assert.equal(found.status("NoNewPrivs"), none);

const daemons = {
  ...ordinary,
  "capabilities (root only)": (found: Found) => assert.deepEqual(user(found), user(mine)),
  "new privileges": privileges("0"),
  environment(found: Found) {
    lacks(oddNames)(found);
    assert.ok(found.environment.includes(proxy));
  },
  "working directory": at(/^\/$/),
  "open files": (found: Found) => assert.ok(Number(found.limit("open files")[0]) > 300),
  "out-of-memory order": scores("0"),
};
const builders = { ...daemons, environment: lacks([...oddNames, "HOME"]) };
const qemus = {
  ...ordinary,
  "capabilities (root only)": (found: Found) =>
    assert.equal(BigInt(`0x${found.status("CapEff")}`) & ~(1n << 10n), 0n),
  "new privileges": privileges("1"),
  environment: lacks([...oddNames, "HOME", "XDG_STATE_HOME", "https_proxy"]),
  "working directory": at(/\/run\/vms\/[0-9a-f]{8}$/),
  "open files": (found: Found) => assert.deepEqual(found.limit("open files"), ["4096", "4096"]),
  "out-of-memory order": scores("500"),
};

before(async () => {
  const ordinaryCaller = new TestHome();
  homes.push(ordinaryCaller);
  await ordinaryCaller.run(["image", "pull", "debian-slim"], { timeoutMs: 900_000 });
});

after(async () => {
  for (const child of children) child.kill("SIGKILL");
  for (const home of homes) await home.dispose();
});

function check(rows: Record<string, (found: Found) => void>, looked: () => Promise<Found>): void {
  let found: Found;
  before(async () => {
    found = await looked();
  });
  for (const [row, holds] of Object.entries(rows)) test(row, () => holds(found));
}

test("each row of the table is looked at", () => {
  const lines = linesOf("docs/inherited.md");
  const table = lines.slice(lines.indexOf("## The table"), lines.indexOf("### The daemon's environment"));
  const rows = table.flatMap((line) => /^\| (?!attribute |-)(.*?) \|/.exec(line)?.[1] ?? []);
  for (const tested of [daemons, builders, qemus]) assert.deepEqual(Object.keys(tested).sort(), rows.sort());
});

describe("the daemon of such a caller", () => {
  const home = oddHome();
  check(daemons, async () => {
    // A client whose daemon is slow starts another; when it has been answered, there is one.
    await once(call(home, "vm", "list"), "exit");
    return find(home, /^banger daemon/);
  });

  test("opens no debugger when it is sent SIGUSR1", async () => {
    const { pid } = await find(home, /^banger daemon/);
    const daemonLog = () => readFileSync(homeHandles(home.home).daemonLog, "utf8");
    const threads = readdirSync(`/proc/${pid}/task`).length;
    process.kill(pid, "SIGUSR1");
    await home.ok("vm", "list");
    assert.doesNotMatch(daemonLog(), /Debugger listening/);
    assert.equal(readdirSync(`/proc/${pid}/task`).length, threads);
  });
});

describe("a QEMU of its", () => {
  const home = oddHome("my-qemu");
  check(qemus, async () => {
    call(home, "vm", "run", "-d", "--name", "box", "--memory", "512M");
    return find(home, /my-qemu .*guest=banger-/);
  });
});

describe("an image builder of its, and what that starts", () => {
  const home = oddHome("mmdebstrap");
  home.env["XDG_DATA_HOME"] = `${home.root}/data`;
  check(builders, async () => {
    call(home, "image", "pull", "debian-slim");
    // A Node that is just starting ignores SIGUSR1: once it has started a tool, its own code has said what that does.
    await find(home, /\/bin\/mmdebstrap/);
    // Not what starts it, which has the same words among its arguments.
    return find(home, /^\S*node .*builder\/main\.js/);
  });
});

describe("git, which a command starts for its caller", () => {
  const home = oddHome("git");
  test("is the caller's own process, but for what would lead it or Node astray", async () => {
    call(home, "vm", "run", "--dry-run", ".");
    const git = await find(home, /bin\/git /);
    assert.deepEqual(
      [git.stat(19), git.status("Umask"), git.status("Cpus_allowed_list")],
      [`${getPriority() + 7}`, "0000", "0"],
    );
    assert.equal(git.limit("open files")[1], mine.limit("open files")[1]);
    assert.ok(git.environment.includes(`SECRET_TOKEN=${oddEnvironment.SECRET_TOKEN}`));
    lacks([...nodesOwn, "GIT_DIR"])(git);
  });
});

describe("a daemon whose first caller had a shorter PATH", () => {
  const home = oddHome();
  const program = `${home.root}/mine/qemu-of-mine`;
  before(async () => {
    mkdirSync(`${home.root}/mine`);
    symlinkSync("/usr/bin/qemu-system-x86_64", program);
    writeFileSync(`${home.root}/config/banger/config.toml`, 'qemu_bin = "qemu-of-mine"\n');
    await home.ok("vm", "list");
    home.env["PATH"] = `${home.root}/mine:${home.env["PATH"]}`;
  });

  test("error and doctor tell so, and what to type", async () => {
    const run = await home.run(["vm", "run", "--rm", "-q", "--memory", "512M", "--", "true"]);
    assert.match(run.stderr, /qemu-of-mine is not in the daemon's PATH \(.*banger daemon stop/s);
    const { stdout } = await home.run(["doctor"]);
    assert.match(
      stdout,
      /^fail +qemu +qemu-of-mine is in your PATH, but not in the daemon's.*\n.*banger daemon stop/m,
    );
  });

  test("and what it says works", async () => {
    await home.ok("daemon", "stop");
    await home.ok("vm", "run", "--rm", "-q", "--memory", "512M", "--vcpu", "1", "--", "true");
  });
});

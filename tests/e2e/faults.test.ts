/** What goes wrong on a user's machine: each is a clear error with a hint, and nothing is lost. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import type { VmView } from "../../src/contract/contract.js";
import type { ImageView } from "../../src/contract/images.js";
import { homeHandles, imageHandles } from "../../src/home/handles.js";
import { isRunning, sharedData, type TestHome, until, withHome } from "./harness.js";

const small = ["--memory", "256M", "--vcpu", "1"];

function configure(home: TestHome, text: string): void {
  mkdirSync(home.home.config, { recursive: true });
  writeFileSync(homeHandles(home.home).configFile, text);
}

/** An error is what failed, how to hint it, a status of banger's own, and no trace of the program's inside. */
async function fails(home: TestHome, args: string[], message: RegExp, hint: RegExp): Promise<void> {
  const { status, stderr } = await home.run(args, { timeoutMs: 900_000 });
  assert.equal(status, args[1] === "run" ? 125 : 1, stderr);
  assert.match(stderr, message);
  assert.match(stderr, hint);
  assert.doesNotMatch(stderr, /^\s+at |node:internal/m);
}

test("a missing QEMU names its package, and nothing of the VM is left behind", () =>
  withHome(async (home) => {
    configure(home, 'qemu_bin = "qemu-system-nowhere"\n');
    await fails(
      home,
      ["vm", "run", "--name", "unable", ...small, "--", "true"],
      /qemu-system-nowhere is not in the daemon's PATH/,
      /apt-get install -y qemu-system-x86/,
    );
    const vm = await home.vm("unable");
    assert.equal(vm.error?.step, "process");
    assert.deepEqual(home.leftovers(), []);
    configure(home, "");
    await home.ok("daemon", "stop");
    await home.ok("vm", "start", "unable");
    await home.ok("vm", "delete", "unable");
  }));

const rootOnly = process.getuid?.() === 0 ? false : "mounting a small disk needs root";

test("a full disk during a create is said, rolled back, and the VM starts once there is room", {
  skip: rootOnly,
}, async () => {
  const disk = mkdtempSync("/tmp/banger-e2e-disk-");
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", disk]);
  try {
    await withHome(
      async (home) => {
        await home.ok("image", "pull", "debian-slim");
        // Room for some events, and for less than a VM's disks.
        execFileSync("sh", [
          "-c",
          `cat /dev/zero > ${disk}/crowd 2>/dev/null; truncate -s -250K ${disk}/crowd`,
        ]);
        await fails(home, ["vm", "create", ...small], /0M free, and 1M are reserved/, /image cache prune/);
        await fails(
          home,
          ["vm", "run", "--force", "--name", "cramped", ...small, "--", "true"],
          /no space is left/,
          /df -h/,
        );
        const vm = await home.vm("cramped");
        assert.equal(vm.phase, "error");
        assert.equal(vm.error?.step, "disk");
        assert.deepEqual(home.leftovers(), []);
        rmSync(`${disk}/crowd`);
        await home.ok("vm", "start", "cramped");
        await home.ok("vm", "delete", "cramped");
      },
      () => ({ XDG_STATE_HOME: disk }),
    );
  } finally {
    execFileSync("umount", ["-l", disk]);
    rmSync(disk, { recursive: true });
  }
});

test("a home that cannot be written is an error that names the place", () =>
  withHome(async (home) => {
    writeFileSync(join(home.root, "file"), "");
    const { status, stderr } = await home.run(["vm", "list"], {
      env: { XDG_STATE_HOME: join(home.root, "file") },
    });
    assert.equal(status, 1);
    assert.match(stderr, /file\/banger/);
    assert.match(stderr, /try: .*XDG_STATE_HOME/);
  }));

test("a log that is damaged or newer is refused and left as it is", () =>
  withHome(async (home) => {
    await home.ok("vm", "list");
    await home.ok("daemon", "stop");
    const { log } = homeHandles(home.home);
    const good = `${log}.good`;
    copyFileSync(log, good);

    writeFileSync(log, "this is no database, and long enough to be none".repeat(100));
    const before = readFileSync(log);
    await fails(home, ["vm", "list"], /banger\.db/, /try: /);
    assert.deepEqual(readFileSync(log), before);

    copyFileSync(good, log);
    const db = new Database(log);
    db.pragma("user_version = 99");
    db.close();
    await fails(home, ["vm", "list"], /newer banger/, /install/);
    const again = new Database(log, { readonly: true });
    assert.equal(again.pragma("user_version", { simple: true }), 99);
    again.close();

    copyFileSync(good, log);
    assert.equal((await home.json<{ ok: boolean }>("events", "verify")).ok, true);
  }));

test("a port that somebody else has is replaced by another, and said", () =>
  withHome(async (home) => {
    await home.ok("vm", "create", "--no-start", "--name", "crowded", ...small);
    const { address } = await home.vm("crowded");
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(22, address, resolve));
    try {
      await home.ok("vm", "start", "crowded");
      await until("its SSH port is forwarded", async () => (await home.vm("crowded")).forwards.length > 0);
      const { forwards } = await home.vm("crowded");
      assert.equal(forwards[0]?.guestPort, 22);
      assert.notEqual(forwards[0]?.hostPort, 22);
      assert.equal((await home.run(["vm", "ssh", "crowded", "--", "true"])).status, 0);
    } finally {
      squatter.close();
      await home.ok("vm", "delete", "crowded");
    }
  }));

test("a build that its daemon did not survive is taken up again, and its builder does not live on", () =>
  withHome(
    async (home) => {
      const builder = (): number | undefined => {
        const { images } = homeHandles(home.home);
        const [partial] = existsSync(images)
          ? readdirSync(images).filter((name) => name.endsWith(".partial"))
          : [];
        const record = `${images}/${partial}/builder.json`;
        return existsSync(record)
          ? (JSON.parse(readFileSync(record, "utf8")) as { pid: number }).pid
          : undefined;
      };
      const pull = home.start(["image", "pull", "debian-slim"]);
      await until("a builder is at work", () => builder() !== undefined);
      const first = builder() ?? 0;
      pull.child.kill("SIGKILL");
      await home.killDaemon();
      const [image] = await home.json<ImageView[]>("image", "list");
      assert.equal(image?.phase, "building");
      await until("another builder is at work", () => ![undefined, first].includes(builder()));
      assert.equal(isRunning(first), false);
      const second = builder() ?? 0;
      await home.ok("daemon", "stop");
      await until("the second one has ended with its daemon", () => !isRunning(second));
    },
    (root) => ({ XDG_DATA_HOME: join(root, "data") }),
  ));

test("a damaged image is refused before a VM is torn by it, and is ready again once its files are", () =>
  withHome(
    async (home) => {
      await home.ok("vm", "create", "--no-start", "--name", "torn", ...small);
      await home.ok("vm", "start", "torn");
      await home.ok("vm", "stop", "torn");
      // A new home's list has what others, which share its images, had made.
      const listed = async () =>
        (await home.json<ImageView[]>("image", "list")).find(({ name }) => name === "debian-slim");
      const image = await listed();
      const { kernel } = imageHandles(home.home, image?.id ?? "");
      renameSync(kernel, `${kernel}.good`);
      writeFileSync(kernel, "torn");
      const damaged = async () => (await listed())?.error?.code === "image_damaged";
      await until("the damage is seen", damaged);
      await fails(home, ["vm", "create", ...small], /damaged.*torn/s, /banger vm delete torn/);
      await fails(home, ["vm", "start", "torn"], /damaged/, /try: /);
      renameSync(`${kernel}.good`, kernel);
      await until("it is ready again", async () => !(await damaged()));
      await home.ok("vm", "start", "torn");
      await home.ok("vm", "delete", "torn");
      assert.deepEqual(home.leftovers(), []);
    },
    (root) => {
      const data = join(root, "data");
      mkdirSync(data);
      execFileSync("cp", ["-a", "--sparse=always", "--reflink=auto", join(sharedData, "banger"), data]);
      return { XDG_DATA_HOME: data };
    },
  ));

test("a wrong config is refused with file, line and what is allowed", () =>
  withHome(async (home) => {
    configure(home, 'log_level = "info"\nqemu = "x"\n');
    await fails(home, ["vm", "list"], /config\.toml:2: .*qemu/, /try: /);
  }));

test("secrets that a command was given are in no log", () =>
  withHome(async (home) => {
    await home.ok("vm", "run", "-d", "--name", "quiet", ...small);
    await home.ok("vm", "exec", "quiet", "--env", "TOKEN=hunter2hunter2", "--", "sh", "-c", "echo $TOKEN");
    const { daemonLog, log } = homeHandles(home.home);
    for (const path of [daemonLog, log])
      assert.equal(readFileSync(path).includes("hunter2hunter2"), false, path);
    for (const line of readFileSync(daemonLog, "utf8").trim().split("\n")) JSON.parse(line);
    await home.ok("vm", "delete", "quiet");
  }));

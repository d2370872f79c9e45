/** A daemon that dies in any stage of a pull: the next completes it, fetches no whole blob again, leaves nothing stray. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { ImageView } from "../../src/contract/images.js";
import { homeHandles, imageHandles } from "../../src/home/handles.js";
import { pushLayers } from "../images/debian-layers.js";
import { type HeldRegistry, holdRegistry } from "../images/held-registry.js";
import { tool } from "../images/oci-layout.js";
import { type RealRegistry, startRegistry } from "../images/real-registry.js";
import { type Call, stopBuilderAt } from "../images/stopped-builder.js";
import { tar } from "../images/tar-maker.js";
import { isRunning, type Started, TestHome, until } from "./harness.js";

let home: TestHome;
let registry: RealRegistry;
let door: HeldRegistry;
/** Digests of the manifest, the configuration, and the layers. */
let digests: { config: string; layers: string[] };

const program = { mode: 0o755, data: "no program, but nothing boots here" };
const layers = [
  tar([
    { name: "bin/sh", ...program },
    { name: "srv/data", data: Buffer.alloc(300_000, "first layer") },
  ]),
  tar([{ name: "root/notes", data: "what /root begins with" }]),
];

before(async () => {
  home = new TestHome((root) => ({ XDG_DATA_HOME: join(root, "data") }));
  mkdirSync(join(home.root, "registry"));
  registry = await startRegistry(join(home.root, "registry"));
  door = await holdRegistry(registry.host);
  const files = layers.map((bytes, index) => {
    const path = join(home.root, `${index}.tar`);
    writeFileSync(path, bytes);
    return path;
  });
  await pushLayers(home.root, registry.host, "acme/small:1", files);
  const target = `docker://${registry.host}/acme/small:1`;
  const raw = await tool("skopeo", ["inspect", "--raw", "--tls-verify=false", target]);
  const manifest = JSON.parse(raw) as Record<"config", { digest: string }> & { layers: { digest: string }[] };
  digests = { config: manifest.config.digest, layers: manifest.layers.map(({ digest }) => digest) };
  // A kernel that is none, but as good as any to make images with.
  mkdirSync(join(home.root, "kernel"));
  writeFileSync(
    join(home.root, "kernel/vmlinux"),
    Buffer.concat([Buffer.from("\x7fELF"), Buffer.alloc(5000)]),
  );
  await home.ok("kernel", "import", "mine", "--from", join(home.root, "kernel"));
});

after(async () => {
  await home.dispose();
  await door.close();
  await registry.stop();
});

const arguments_ = () => ["image", "pull", `${door.host}/acme/small:1`, "--kernel-ref", "mine"];
const images = () => homeHandles(home.home).images;
const blobs = () => join(homeHandles(home.home).ociCache, "blobs/sha256");
const partial = () => {
  const name = existsSync(images()) && readdirSync(images()).find((each) => each.endsWith(".partial"));
  return name ? join(images(), name) : undefined;
};
const wholeBlobs = () =>
  existsSync(blobs()) ? readdirSync(blobs()).filter((name) => !name.includes(".")) : [];

/** The builder's process, once it works in its directory. */
async function builderPid(): Promise<number> {
  let pid = 0;
  await until("a builder is at work", () => {
    const record = join(partial() ?? "", "builder.json");
    const text = existsSync(record) ? readFileSync(record, "utf8") : "";
    pid = text.endsWith("}") ? (JSON.parse(text) as { pid: number }).pid : 0;
    return pid !== 0;
  });
  return pid;
}

/** Begins a pull whose builder waits for the end of its configuration, and so has all before it. */
async function pullUntilConfig(): Promise<{ started: Started; pid: number }> {
  const held = door.hold(digests.config);
  const started = home.start(arguments_());
  await held;
  return { started, pid: await builderPid() };
}

/** The next pull completes what is there: all that must hold after any death. */
async function completes(whole: readonly string[], askedBefore: number): Promise<ImageView> {
  await home.ok(...arguments_());
  const [image, ...others] = await home.json<ImageView[]>("image", "list");
  assert.ok(image);
  assert.deepEqual([image.phase, others], ["ready", []]);
  assert.deepEqual(readdirSync(images()), [image.id]);
  const files = readdirSync(imageHandles(home.home, image.id).directory).sort();
  assert.match(files.pop() ?? "", /^work-seed-[0-9a-f]{16}\.ext4$/);
  const [manifest, modules, root, kernel] = ["manifest.json", "modules.cpio", "rootfs.ext4", "vmlinux"];
  assert.deepEqual(files, [manifest, modules, root, kernel]);
  assert.deepEqual(
    readdirSync(blobs()).filter((name) => name.includes(".")),
    [],
  );
  const again = door.asked.slice(askedBefore).filter((line) => line.includes("/blobs/"));
  for (const name of whole)
    assert.ok(!again.some((line) => line.includes(name)), `${name} was asked for again`);
  await home.ok("events", "verify");
  return image;
}

/** The daemon dies now; a pull that had been acknowledged goes on with the next daemon, which its client starts. */
async function diesNow(started?: Started, kill = () => home.killDaemon()): Promise<void> {
  const [whole, askedBefore] = [wholeBlobs(), door.asked.length];
  await kill();
  door.release();
  if (started !== undefined) {
    const { status, stderr } = await started.ended;
    assert.equal(status, 0, stderr);
  }
  await completes(whole, askedBefore);
}

/** The builder takes its record away; then there is only the name to give. */
const lastCall: Call = { names: "unlink,unlinkat" };

describe("a daemon killed in a pull", () => {
  afterEach(async () => {
    door.release();
    await home.run(["image", "delete", "small"]);
    await home.ok("image", "cache", "prune");
  });

  test("while it asks what the tag means: nothing was promised, and the next pull is like the first", async () => {
    const held = door.hold("manifests/1");
    const started = home.start(arguments_());
    await held;
    const askedBefore = door.asked.length;
    await home.killDaemon();
    door.release();
    const { status, stderr } = await started.ended;
    assert.deepEqual([status, /connection to the daemon/.test(stderr)], [1, true], stderr);
    await completes([], askedBefore);
  });

  test("while its configuration comes", async () => {
    const { started } = await pullUntilConfig();
    await diesNow(started);
  });

  test("while a layer comes, another being whole", async () => {
    const [first, second] = digests.layers as [string, string];
    const held = door.hold(first);
    const started = home.start(arguments_());
    await held;
    await until("the small layer is whole", () => wholeBlobs().includes(second.slice("sha256:".length)));
    await diesNow(started);
  });

  // Calls of the builder in their order: the kernel's files are linked, the root disk gets its length, then its seed;
  // the last step takes the builder's record away and gives the directory its name.
  const steps: [string, Call, (files: string[]) => boolean][] = [
    ["with half of the boot files", { names: "link,linkat" }, (files) => !files.includes("rootfs.ext4")],
    [
      "while it writes the root disk",
      { names: "ftruncate", thread: "main" },
      (files) => files.includes("rootfs.ext4") && !files.includes("manifest.json"),
    ],
    [
      "while it writes the seed of /root",
      { names: "ftruncate", thread: "main", turn: 2 },
      (files) => files.some((name) => name.endsWith(".ext4.new")),
    ],
  ];
  const tracing = canTrace() ? {} : { skip: "strace is missing, or may not trace" };
  for (const [when, call, isThere] of steps)
    test(when, tracing, async () => {
      const { started, pid } = await pullUntilConfig();
      const builder = await stopBuilderAt(pid, call);
      try {
        door.resume();
        await builder.stopped();
        const files = readdirSync(partial() ?? "");
        assert.ok(isThere(files), files.join(" "));
        await diesNow(started);
      } finally {
        await builder.leave();
      }
    });

  test(
    "when only the name is missing, which the next daemon gives without making anything anew",
    tracing,
    async () => {
      const { started, pid } = await pullUntilConfig();
      const builder = await stopBuilderAt(pid, lastCall);
      try {
        door.resume();
        await builder.stopped();
        const daemon = await home.daemonPid();
        // The daemon first: one that sees its builder die takes what it left away, and begins anew.
        await diesNow(started, async () => {
          process.kill(daemon, "SIGKILL");
          process.kill(pid, "SIGKILL");
          await until("the daemon is dead", () => !isRunning(daemon));
        });
        const [image] = await home.json<ImageView[]>("image", "list");
        const events = await home.events(`image/${image?.id}`);
        const asked = events.findLastIndex(({ type }) => type === "image.pull_requested");
        const begun = events
          .slice(asked)
          .filter(({ data }) => (data as { stage?: string }).stage === "resolve");
        assert.equal(begun.length, 1);
      } finally {
        await builder.leave();
      }
    },
  );

  test("when only the name is missing, and the builder gives it after the next daemon", tracing, async () => {
    const { started, pid } = await pullUntilConfig();
    const builder = await stopBuilderAt(pid, lastCall);
    try {
      door.resume();
      await builder.stopped();
      await diesNow(started);
      process.kill(pid, "SIGCONT");
      await until("the builder has ended", () => !existsSync(`/proc/${pid}`) || isZombie(pid));
      await completes(wholeBlobs(), door.asked.length);
    } finally {
      await builder.leave();
    }
  });
});

function isZombie(pid: number): boolean {
  return /^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** Whether one process may trace another that is not its child. */
function canTrace(): boolean {
  const scope = "/proc/sys/kernel/yama/ptrace_scope";
  const open = process.getuid?.() === 0 || !existsSync(scope) || readFileSync(scope, "utf8").trim() === "0";
  return open && spawnSync("strace", ["-V"]).status === 0;
}

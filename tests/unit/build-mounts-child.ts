/** In user and mount namespaces of its own, which stand for the host: builds, is killed, removes, and says what it saw. */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mountsBelow, parseMounts } from "../../src/host/mounts.js";
import { removeTree } from "../../src/host/remove-tree.js";
import { toolEnvironment } from "../../src/host/run-tool.js";
import { ensureNoPartial } from "../../src/images/builder/process.js";
import { resolveImage } from "../../src/images/catalog.js";
import { makeRootfs } from "../../src/images/rootfs.js";
import { systemClock } from "../../src/lib/clock.js";
import { until } from "../e2e/harness.js";

const [scenario, top = ""] = process.argv.slice(2);
const partial = `${top}/x-0123abcd.partial`;
const precious = `${top}/precious`;

const mountedHere = () =>
  mountsBelow(top, parseMounts(readFileSync("/proc/self/mountinfo", "latin1"))).length;

/** Mounts as mmdebstrap does, says so, and does not hear when it is asked to end. */
const mmdebstrap = `#!/bin/sh
trap '' TERM
mkdir -p "$TMPDIR/root/proc" "$TMPDIR/root/sys"
mount -t tmpfs none "$TMPDIR/root/sys"
mount --bind "$PRECIOUS" "$TMPDIR/root/proc"
touch "$TMPDIR/root/proc/seen" "$MOUNTED"
sleep 600 &
echo $! >"$MOUNTED"
wait
sleep 600
`;

const noScratch = () => Promise.reject(new Error("there is no scratch directory"));

async function build(): Promise<void> {
  const resolved = await resolveImage("debian-slim");
  if (!("recipe" in resolved)) throw new Error("debian-slim has no recipe");
  const environment = {
    ...toolEnvironment(`${top}/bin:${process.env["PATH"]}`),
    PRECIOUS: precious,
    MOUNTED: `${top}/mounted`,
  };
  await makeRootfs({
    ...{ resolved, sources: { list: "", transport: [] }, output: `${partial}/rootfs.ext4` },
    ...{ scratch: `${partial}/scratch`, environment, mode: "root", stage: () => undefined },
  });
}

async function killed(): Promise<object> {
  mkdirSync(`${partial}/scratch`, { recursive: true });
  mkdirSync(`${top}/bin`);
  writeFileSync(`${top}/bin/mmdebstrap`, mmdebstrap);
  chmodSync(`${top}/bin/mmdebstrap`, 0o755);
  const argv = [process.argv[1] ?? "", "build", top];
  const builder = spawn(process.execPath, argv, { detached: true, stdio: ["ignore", "inherit", "inherit"] });
  await until("mmdebstrap has mounted", () => {
    if (builder.exitCode !== null) throw new Error(`the build ended with ${builder.exitCode}`);
    return existsSync(`${top}/mounted`) && readFileSync(`${top}/mounted`, "utf8") !== "";
  });
  const during = mountedHere();
  process.kill(-(builder.pid as number), "SIGKILL");
  await until("all of it has ended", () => {
    try {
      process.kill(-(builder.pid as number), 0);
      return false;
    } catch {
      return true;
    }
  });
  await ensureNoPartial(partial, "/state", noScratch, systemClock);
  return { during, after: mountedHere() };
}

/** What a version of banger left that built in the host's own namespace. */
async function leftover(): Promise<object> {
  mkdirSync(`${partial}/scratch/root/proc/deep`, { recursive: true });
  mkdirSync(`${partial}/scratch/root/sys`);
  execFileSync("mount", ["--bind", precious, `${partial}/scratch/root/proc`]);
  execFileSync("mount", ["-t", "tmpfs", "none", `${partial}/scratch/root/sys`]);
  mkdirSync(`${partial}/scratch/root/sys/below it`);
  execFileSync("mount", ["--bind", precious, `${partial}/scratch/root/sys/below it`]);
  const before = mountedHere();
  await ensureNoPartial(partial, "/state", noScratch, systemClock);
  return { before, after: mountedHere() };
}

/** A mount in a directory that is to go, and one behind a link that is to go. */
async function refused(): Promise<object> {
  const victim = `${top}/victim`;
  mkdirSync(`${victim}/in/it`, { recursive: true });
  execFileSync("mount", ["--bind", precious, `${victim}/in/it`]);
  symlinkSync(victim, `${top}/link`);
  await removeTree(`${top}/link`);
  const error = await removeTree(victim).catch((error: unknown) => error);
  const { code, message, hint } = error as { code: string; message: string; hint: string };
  execFileSync("sh", ["-c", hint.replace("sudo ", "")]);
  await removeTree(victim);
  return { code, message, gone: !existsSync(victim), linkGone: !existsSync(`${top}/link`) };
}

const scenarios = { killed, leftover, refused };

if (scenario === "build") await build();
else {
  const said = await scenarios[scenario as keyof typeof scenarios]();
  const gone = !existsSync(partial);
  console.log(JSON.stringify({ ...said, gone, kept: readFileSync(`${precious}/file`, "utf8") }));
}

/**
 * Boots VM after VM beside a load and says of each whether its guest answered in time: `make boots N=500`. What a boot
 * that was late looked like is kept for whoever has to find out why.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { TestHome } from "../e2e/harness.js";
import { lookAt } from "./late.js";

const { values } = parseArgs({
  options: {
    boots: { type: "string", default: "500" },
    "at-once": { type: "string", default: "2" },
    load: { type: "string", default: "2" },
    "ready-within": { type: "string", default: "60" },
    out: { type: "string", default: "build/boots" },
  },
});
const boots = Number(values.boots);
const lateMs = Number(values["ready-within"]) * 1000;
const out = resolve(values.out);

interface Boot {
  number: number;
  seconds: number;
  status: number | null;
  load: number;
}

const size = ["--image", "debian-slim", "--memory", "512M", "--vcpu", "1"];

/** From nothing to a command's end in the guest, and to nothing again. */
async function boot(home: TestHome, number: number): Promise<Boot> {
  const [name, start] = [`boot-${number}`, Date.now()];
  const started = home.start(["vm", "run", "--rm", "--quiet", "--name", name, ...size, "--", "true"], {
    timeoutMs: 300_000,
  });
  const late = setTimeout(() => {
    void lookAt(home, name, `${out}/${name}`).catch((error: unknown) => {
      writeFileSync(`${out}/${name}.unseen`, String(error));
    });
  }, lateMs);
  const { status, stderr } = await started.ended;
  clearTimeout(late);
  const seconds = (Date.now() - start) / 1000;
  if (status !== 0) writeFileSync(`${out}/${name}.stderr`, stderr);
  return { number, seconds, status, load: loadavg()[0] ?? 0 };
}

/** Processes that take all the processor time they get. */
function burn(count: number): ChildProcess[] {
  return Array.from({ length: count }, () => spawn(process.execPath, ["-e", "for (;;);"]));
}

const at = (sorted: readonly number[], share: number): string =>
  (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(1);

function summary(done: readonly Boot[]): string {
  const good = done.filter(({ status }) => status === 0);
  const late = good.filter(({ seconds }) => seconds * 1000 > lateMs);
  const seconds = good.map((each) => each.seconds).sort((a, b) => a - b);
  const loads = done.map(({ load }) => load).sort((a, b) => a - b);
  const failed = done.length - good.length;
  return [
    `${done.length} boots: ${good.length} ready, ${failed} failed, ${late.length} later than ${lateMs / 1000} s`,
    `seconds: median ${at(seconds, 0.5)}, 95 % ${at(seconds, 0.95)}, longest ${at(seconds, 1)}`,
    `load average: lowest ${at(loads, 0)}, median ${at(loads, 0.5)}, highest ${at(loads, 1)}`,
  ].join("\n");
}

mkdirSync(out, { recursive: true });
const home = new TestHome();
const burning = burn(Number(values.load));
const done: Boot[] = [];
let next = 1;
async function lane(): Promise<void> {
  while (next <= boots) {
    const each = await boot(home, next++);
    done.push(each);
    appendFileSync(`${out}/boots.jsonl`, `${JSON.stringify(each)}\n`);
    if (each.status !== 0 || done.length % 25 === 0) console.log(summary(done));
  }
}
try {
  await home.ok("image", "pull", "debian-slim", "--quiet");
  await Promise.all(Array.from({ length: Number(values["at-once"]) }, lane));
} finally {
  for (const child of burning) child.kill();
  await home.dispose();
}
console.log(summary(done));
if (done.length < boots || done.some(({ status }) => status !== 0)) process.exitCode = 1;

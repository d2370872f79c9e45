/** What stands in for people in the tests with real VMs: a run that is ended from outside leaves nothing behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { isRunning, until } from "../e2e/harness.js";

const script = `
  const { TestHome } = await import(${JSON.stringify(new URL("../e2e/harness.js", import.meta.url).href)});
  const { spawn } = await import("node:child_process");
  const home = new TestHome();
  const child = spawn("sleep", ["300"], { env: home.env, detached: true, stdio: "ignore" });
  console.log(JSON.stringify({ root: home.root, pid: child.pid }));
  setInterval(() => {}, 1000);
`;

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} takes a home's directory and processes with it, however often it is sent`, async () => {
    const run = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(run.stdout, "data")) as [Buffer];
    const { root, pid } = JSON.parse(line.toString("utf8")) as { root: string; pid: number };
    assert.ok(existsSync(root) && isRunning(pid));
    // Whoever runs us passes on what we have got as well.
    const again = setInterval(() => run.kill(signal), 1);
    const [, endedBy] = await once(run, "exit");
    clearInterval(again);
    assert.equal(endedBy, signal);
    assert.ok(!existsSync(root));
    await until("the process is gone", () => !isRunning(pid));
  });
}

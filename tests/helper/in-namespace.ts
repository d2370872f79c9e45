/** Runs a file of tests in a network of its own, where it may make and break what it likes. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";

const child = (name: string): string => new URL(`./${name}-child.js`, import.meta.url).pathname;

/** Why such tests cannot run here; undefined where they can. */
export const noNamespaces = process.getuid?.() === 0 ? undefined : "needs root: taps for another user";

const longestMs = 300_000;

/** The namespaces end with their last process. `/sys` is mounted anew, for it shows the network that it was mounted in. */
export function testInNamespace(title: string, name: string): void {
  test(title, { skip: noNamespaces ?? false }, async () => {
    const { NODE_TEST_CONTEXT: _outer, ...env } = process.env;
    const script = 'mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"';
    const argv = [
      "--net",
      "--mount",
      "--",
      "sh",
      "-c",
      script,
      "sh",
      process.execPath,
      "--test-reporter=spec",
    ];
    const run = spawn("unshare", [...argv, child(name)], { env, timeout: longestMs, killSignal: "SIGKILL" });
    let output = "";
    for (const stream of [run.stdout, run.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    const status = await new Promise((resolve, reject) => {
      run.on("error", reject).on("close", resolve);
    });
    assert.equal(status, 0, output);
  });
}

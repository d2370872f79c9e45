/** Runs a test's program in a network of its own, where it may make and break what it likes. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";

/** Why such tests cannot run here; false where they can. */
export const noNamespaces = process.getuid?.() === 0 ? false : "needs root: taps for another user";

/** A test that runs beside this one has VMs of the same ids. */
const ownProcesses = ["--pid", "--fork", "--kill-child", "--mount-proc"];

/**
 * Fails with what the program said unless it ends well. The namespaces end with their last process. `/sys` is mounted
 * anew, for it shows the network that it was mounted in; `/run` is empty.
 */
export async function runInNamespace(
  program: string,
  argv: readonly string[],
  longestMs: number,
): Promise<void> {
  const { NODE_TEST_CONTEXT: _outer, ...env } = process.env;
  const set = 'mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"';
  const command = ["sh", "-c", set, "sh", process.execPath, "--test-reporter=spec", program, ...argv];
  const options = { env, timeout: longestMs, killSignal: "SIGKILL" } as const;
  const run = spawn("unshare", ["--net", "--mount", ...ownProcesses, "--", ...command], options);
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
}

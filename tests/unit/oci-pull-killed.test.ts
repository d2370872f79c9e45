/** Pulls that are killed or stopped anywhere: the next one goes on from there, and others are not held up. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { PullOptions } from "../../src/oci/pull.js";
import { Pulls } from "../images/pulls.js";
import { send } from "../images/registry-double.js";

const pulls = new Pulls();

const child = fileURLToPath(new URL("../images/pull-child.js", import.meta.url));

/** Kills a pull when it says what is waited for. */
async function killAt(sign: RegExp): Promise<void> {
  const started = spawn(process.execPath, [child, `${pulls.registry.host}/a/b:1`, pulls.directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(started, "exit");
  for await (const line of createInterface({ input: started.stdout }))
    if (sign.test(line)) {
      started.kill("SIGKILL");
      break;
    }
  await ended;
}

describe("a pull that is killed", () => {
  for (const [when, sign] of [
    ["in the middle of a layer", /^1 [1-9]\d* downloading/],
    ["with a layer done", /^[23] \d+ done/],
    ["while converting", /^converting/],
  ] as const)
    test(`${when} is completed by the next, which asks for no whole blob again`, async () => {
      let held = true;
      pulls.registry.misbehave = pulls.forFirst((bytes, response, range) => {
        if (!held) return send(bytes, range, response);
        // The first layer stops half way, so that the others finish before it.
        response.writeHead(200, { "content-length": bytes.length });
        response.write(bytes.subarray(0, 150_000));
        if (when === "while converting") response.end(bytes.subarray(150_000));
      });
      await killAt(sign);
      held = false;
      const whole = pulls.cached().filter((name) => name.length === 64);
      pulls.registry.asked.length = 0;
      await rm(`${pulls.directory}/root.ext4`, { force: true });
      await killAt(/^never/);
      assert.ok(existsSync(`${pulls.directory}/root.ext4`));
      assert.deepEqual(pulls.stray(), []);
      for (const name of whole)
        assert.ok(!pulls.registry.asked.some((path) => path.includes(`blobs/sha256:${name}`)), name);
      const resumed = pulls.registry.asked.find((path) => path.includes(pulls.first()));
      if (when === "in the middle of a layer") assert.match(resumed ?? "", / bytes=\d+-$/);
    });

  test("does not hold up others: two pulls at once fetch each blob once", async () => {
    const pulled = await Promise.all([pulls.pull(), pulls.pull(), pulls.pull()]);
    assert.deepEqual(pulled[0]?.layers, pulled[1]?.layers);
    for (const { digest } of pulls.registry.layers)
      assert.equal(pulls.registry.asked.filter((path) => path.endsWith(digest)).length, 1);
    assert.deepEqual(pulls.stray(), []);
  });

  test("by its signal rejects with the signal's reason, and leaves what can be resumed", async () => {
    const stop = new AbortController();
    pulls.registry.misbehave = pulls.forFirst((bytes, response) => {
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 150_000));
    });
    const reason = new Error("no longer wanted");
    const onProgress: PullOptions["onProgress"] = ({ number, receivedBytes }) => {
      if (number === 1 && receivedBytes > 0) stop.abort(reason);
    };
    await assert.rejects(pulls.pull({ signal: stop.signal, onProgress }), reason);
    pulls.registry.misbehave = () => false;
    await pulls.pull();
    assert.deepEqual(pulls.stray(), []);
  });
});

/** Which status a command line ends with: banger's own failures are never taken for those of a guest's command. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exitStatusOf } from "../../src/cli/base/exit-status.js";
import { Interrupted } from "../../src/cli/base/interrupts.js";
import { isGroup, type Node, root } from "../../src/cli/tree.js";
import { encodeFrame, frameType } from "../../src/guest/exec-frames.js";
import type { ErrorCode } from "../../src/lib/error-codes.js";
import { BangerError } from "../../src/lib/errors.js";
import { echoingGuest, notFound, switching, withHost } from "../doubles/cli-host.js";
import { sendError } from "../doubles/fake-api.js";

test("the commands that end with a guest's status are those that run something in a guest", async () => {
  const found: string[] = [];
  const walk = async (node: Node, path: string): Promise<void> => {
    if (isGroup(node)) {
      for (const [word, child] of Object.entries(node.commands)) await walk(child, `${path} ${word}`);
    } else if ((await node.load()).guestStatus === true) found.push(path.trim());
  };
  await walk(root, "");
  assert.deepEqual(found, ["vm run", "vm exec", "vm ssh"]);
});

test("a failure has one status in a command of banger's own and another where statuses are a guest's", () => {
  const error = (code: ErrorCode) => new BangerError(code, "it");
  const both = (thrown: unknown) => [exitStatusOf(thrown, false), exitStatusOf(thrown, true)];
  assert.deepEqual(both(error("vm_not_found")), [1, 125]);
  assert.deepEqual(both(error("usage")), [2, 125]);
  assert.deepEqual(both(error("bad_size")), [2, 125]);
  assert.deepEqual(both(error("exec_not_found")), [1, 127]);
  assert.deepEqual(both(error("exec_not_executable")), [1, 126]);
  assert.deepEqual(both(new TypeError("a mistake of ours")), [1, 125]);
  assert.deepEqual(both(new Interrupted("SIGTERM")), [143, 143]);
});

test("of vm exec, every way to fail that is not the command's is 125, whatever the command could have said", () =>
  withHost(async ({ api, banger }) => {
    const run = async (...words: string[]) => (await banger(["vm", "exec", ...words])).status;
    api.onExec((_asked, stream) => echoingGuest(stream, { code: 1 }));
    assert.equal(await run("box", "--", "cat"), 1);
    assert.equal(await run("box"), 125);
    assert.equal(await run("box", "--nonsense", "--", "cat"), 125);
    assert.equal(await run("--", "cat"), 125);
    api.onExec((_asked, stream) => stream.end(switching));
    assert.equal(await run("box", "--", "cat"), 125, "the connection was lost");
    const fault = (code: string) =>
      switching + encodeFrame(frameType.error, Buffer.from(JSON.stringify({ code }))).toString("latin1");
    api.onExec((_asked, stream) => void stream.write(fault("not_executable")));
    assert.equal(await run("box", "--", "cat"), 126);
    api.onExec((_asked, stream) => void stream.write(fault("bad_cwd")));
    assert.equal(await run("box", "--", "cat"), 125);
    api.on("GET /v1/vms/x/ssh", (_asked, response) => sendError(response, 404, notFound));
    assert.equal((await banger(["vm", "ssh", "x"])).status, 125);
    assert.equal((await banger(["vm", "exce", "box"])).status, 2, "which command is meant is not known");
  }));

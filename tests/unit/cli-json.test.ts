/** `--json`: every command has it, its result is one value on stdout, and stderr has nothing but the error. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { isGroup, type Node, root } from "../../src/cli/tree.js";
import { encodeFrame, frameType } from "../../src/guest/exec-frames.js";
import { bootingVm, echoingGuest, exit, notFound, switching, withHost } from "../doubles/cli-host.js";
import { sendError, sendEvents } from "../doubles/fake-api.js";
import { eventView, vmView } from "../doubles/views.js";

/** Commands without it, each because what it prints is not a result. */
const without = ["vm ssh", "completion", "__complete", "ssh-proxy"];

test("every command has --json, or a reason why not", async () => {
  const found: string[] = [];
  let all = 0;
  const walk = async (node: Node, path: string): Promise<void> => {
    if (isGroup(node)) {
      if (node.itself !== undefined) await walk(node.itself, path);
      for (const [word, child] of Object.entries(node.commands)) await walk(child, `${path} ${word}`.trim());
      return;
    }
    all += 1;
    const { flags, withoutJson } = await node.load();
    assert.equal("json" in flags, withoutJson === undefined, path);
    if (withoutJson !== undefined) found.push(path);
  };
  await walk(root, "");
  assert.ok(all > 40, `${all} commands`);
  assert.deepEqual(found, without);
});

const image = (id: string) => ({ id, name: id.split("-")[0], phase: "ready", seq: 1 });
const gone = (event: string, ref: string) => (_asked: unknown, response: ServerResponse) =>
  sendEvents(response, [{ ...eventView(9, event), stream: `image/${ref}` }]);

test("what changes something tells as one value what happened, and says nothing else", () =>
  withHost(async ({ api, banger }) => {
    const result = async (...argv: string[]) => {
      const { status, stdout, stderr } = await banger([...argv, "--json"]);
      assert.equal(stderr, "", argv.join(" "));
      return { status, value: JSON.parse(stdout) };
    };
    const off = vmView({ id: "0000000f", name: "off", phase: "stopped" });
    api.on("POST /v1/vms/actions", () => ({
      results: [
        { ref: "x", error: notFound, after: 6 },
        { ref: "off", vm: off, after: 6 },
      ],
    }));
    const stopped = await result("vm", "stop", "x", "off");
    assert.equal(stopped.status, 1);
    assert.deepEqual(stopped.value, [
      { ref: "x", ok: false, error: notFound },
      { ref: "off", id: "0000000f", name: "off", ok: true, result: "stopped" },
    ]);
    api.on("POST /v1/vms/set", () => ({ results: [{ ref: "off", vm: off, needsRestart: false }] }));
    const set = await result("vm", "set", "off", "--memory", "1G");
    assert.deepEqual(
      [set.value[0].ok, set.value[0].afterRestart, set.value[0].spec],
      [true, off.afterRestart, off.spec],
    );
    api.on("GET /v1/vms", () => [off]);
    const dry = await result("vm", "prune", "--dry-run");
    assert.deepEqual(dry.value, { dryRun: true, vms: [{ id: "0000000f", name: "off" }] });
    api.on("DELETE /v1/images/a-1", () => ({ image: image("a-1"), after: 8, already: false, here: false }));
    api.on("DELETE /v1/images/b-2", (_asked, response) =>
      sendError(response, 409, { ...notFound, code: "image_in_use" }),
    );
    api.on("GET /v1/events", gone("image.deleted", "a-1"));
    const deleted = await result("image", "delete", "b-2", "a-1");
    assert.equal(deleted.status, 1, "one that cannot go does not stop the others");
    assert.deepEqual(
      deleted.value.map((each: { ok: boolean }) => each.ok),
      [false, true],
    );
    api.on("POST /v1/images/cache/prune", () => ({ blobs: 2, bytes: 10 }));
    assert.deepEqual((await result("image", "cache", "prune")).value, { dryRun: false, blobs: 2, bytes: 10 });
    api.on("POST /v1/images/pull", () => ({ image: image("a-1"), after: 8, already: true, here: true }));
    api.on("GET /v1/images/a-1", () => image("a-1"));
    assert.equal((await result("image", "pull", "a")).value.id, "a-1");
    api.on(
      "GET /v1/vms/box/logs",
      (_asked, response) => void response.end("one\r\ntwo \u001b[31mred\nthree"),
    );
    const { stdout } = await banger(["vm", "logs", "box", "--json"]);
    const lines = stdout.trim().split("\n");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).text),
      ["one", "two \u001b[31mred", "three"],
    );
    const config = await result("ssh-config");
    assert.equal(config.value.included, false);
  }));

test("vm exec and vm run tell a command's end and output, bounded, and end with its status", () =>
  withHost(async ({ api, banger }) => {
    api.onExec((_asked, stream) => echoingGuest(stream, { code: 3 }));
    const ended = await banger(["vm", "exec", "box", "--json", "--", "cat"], "out\u009b\n");
    assert.equal(ended.status, 3);
    assert.equal(ended.stderr, "");
    const { durationMs, ...rest } = JSON.parse(ended.stdout);
    assert.ok(Number.isInteger(durationMs) && durationMs >= 0);
    const text = { stdout: "out\u009b\n", stderr: "noise\n" };
    const whole = { stdoutTruncated: false, stderrTruncated: false };
    assert.deepEqual(rest, { status: 3, signal: null, ...text, ...whole });
    api.onExec((_asked, stream) => {
      stream.write(switching);
      for (let i = 0; i < 100; i++) stream.write(encodeFrame(frameType.stdout, Buffer.alloc(16_000, "x")));
      stream.write(exit({ signal: "SIGKILL", number: 9 }));
    });
    const killed = await banger(["vm", "exec", "box", "--json", "--", "yes"]);
    const long = JSON.parse(killed.stdout);
    assert.deepEqual([killed.status, long.status, long.signal], [137, 137, "SIGKILL"]);
    assert.deepEqual(
      [long.stdout.length, long.stdoutTruncated, long.stderrTruncated],
      [1024 * 1024, true, false],
    );
    bootingVm(api);
    api.onExec((_asked, stream) => echoingGuest(stream, { code: 0 }));
    const run = await banger(["vm", "run", "--rm", "--json", "--", "cat"], "x");
    assert.equal(run.stderr, "");
    assert.deepEqual(JSON.parse(run.stdout).vm, { id: "0a1b2c3d", name: "box" });
  }));

test("a failure with --json is one object on stderr, and nothing on stdout", () =>
  withHost(async ({ api, banger }) => {
    const fails = async (argv: string[], status: number, code: string) => {
      const failed = await banger(argv);
      assert.deepEqual([failed.status, failed.stdout], [status, ""], argv.join(" "));
      const { error } = JSON.parse(failed.stderr);
      assert.equal(error.code, code, argv.join(" "));
      assert.ok(error.message.length > 0 && /^(never|later)$/.test(error.retry));
    };
    api.on("GET /v1/vms/x", (_asked, response) => sendError(response, 404, notFound));
    await fails(["vm", "show", "x", "--json"], 1, "vm_not_found");
    await fails(["vm", "start", "--json"], 2, "usage");
    await fails(["vm", "run", "--json"], 125, "usage");
    await fails(["vm", "strat", "--json"], 2, "usage");
    await fails(["vm", "exec", "box", "--json", "-t", "--", "x"], 125, "usage");
    await fails(["vm", "workspace", "export", "box", "--json"], 2, "usage");
    api.onExec((_asked, stream) => stream.end(switching));
    await fails(["vm", "exec", "box", "--json", "--", "x"], 125, "exec_lost");
    const error = Buffer.from(JSON.stringify({ code: "not_found", message: "no such file" }));
    api.onExec(
      (_asked, stream) =>
        void stream.write(switching + encodeFrame(frameType.error, error).toString("latin1")),
    );
    await fails(["vm", "exec", "box", "--json", "--", "nope"], 127, "exec_not_found");
  }));

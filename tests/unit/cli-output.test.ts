/** The program when its output cannot be written: a full disk is a failure, a reader that has gone is none. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { test } from "node:test";
import { outputEnd } from "../../src/cli/base/output.js";
import { encodeFrame, frameType } from "../../src/guest/exec-frames.js";
import { bootingVm, exit, program, runDeadlineMs, switching, withHost } from "../doubles/cli-host.js";
import { sendEvents } from "../doubles/fake-api.js";
import { eventView, vmView } from "../doubles/views.js";

type Env = NodeJS.ProcessEnv;

/** Runs with standard output on a full disk. */
async function onFullDisk(
  env: Env,
  argv: string[],
  which: 1 | 2 = 1,
): Promise<{ status: number | null; said: string }> {
  const full = openSync("/dev/full", "w");
  try {
    const stdio = which === 1 ? (["ignore", full, "pipe"] as const) : (["ignore", "pipe", full] as const);
    const child = spawn(program, argv, { env, timeout: runDeadlineMs, stdio: [...stdio] });
    let said = "";
    (which === 1 ? child.stderr : child.stdout)?.on("data", (text: Buffer) => (said += text.toString()));
    const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { status, said };
  } finally {
    closeSync(full);
  }
}

/** Runs with a reader that leaves after the first bytes. */
async function leftEarly(env: Env, argv: string[], stream: "stdout" | "stderr" = "stdout") {
  const child = spawn(program, argv, { env, timeout: runDeadlineMs, stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "";
  if (stream === "stdout") child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
  child[stream].once("data", () => child[stream].destroy());
  const status = await new Promise<number | null>((resolve) => child.on("exit", resolve));
  return { status, stderr };
}

const chatty = (stream: NodeJS.WritableStream): void => {
  stream.write(switching);
  for (let i = 0; i < 200; i++) stream.write(encodeFrame(frameType.stdout, Buffer.alloc(16_000, "x")));
  stream.write(exit({ code: 0 }));
};

test("a full disk under the output fails every kind of command, and one sentence says so", () =>
  withHost(async ({ api, env }) => {
    api.on("GET /v1/vms", () => [vmView()]);
    api.on("GET /v1/vms/box/logs", (_asked, response) => void response.end("a line\n"));
    api.on("GET /v1/events", (_asked, response) => sendEvents(response, [eventView(1, "vm.ready")]));
    const sentence = /^banger: the output cannot be written: no space is left\n {2}try: .*\n$/;
    for (const argv of [
      ["version"],
      ["--help"],
      ["vm", "list"],
      ["vm", "logs", "box"],
      ["events"],
      ["completion", "bash"],
    ]) {
      const { status, said } = await onFullDisk(env, argv);
      assert.equal(status, 1, argv.join(" "));
      assert.match(said, sentence, argv.join(" "));
    }
    const json = await onFullDisk(env, ["vm", "list", "--json"]);
    assert.deepEqual([json.status, JSON.parse(json.said).error.code], [1, "not_written"]);
    api.onExec((_asked, stream) => chatty(stream));
    const exec = await onFullDisk(env, ["vm", "exec", "box", "--", "x"]);
    assert.equal(exec.status, 125);
    assert.match(exec.said, sentence);
    const patch = await onFullDisk(env, ["vm", "workspace", "export", "box"]);
    assert.equal(patch.status, 1);
    assert.match(patch.said, sentence);
  }));

test("a full disk under the messages changes no status", () =>
  withHost(async ({ api, env }) => {
    assert.equal((await onFullDisk(env, ["nonsense"], 2)).status, 2);
    bootingVm(api);
    api.onExec((_asked, stream) => {
      stream.write(switching);
      stream.write(exit({ code: 7 }));
    });
    assert.equal((await onFullDisk(env, ["vm", "run", "--", "true"], 2)).status, 7);
  }));

test("a reader that leaves early ends a command as SIGPIPE would, without a word", () =>
  withHost(async ({ api, env }) => {
    api.on("GET /v1/events", (_asked, response) => {
      const lines = Array.from({ length: 20_000 }, (_, index) => eventView(index, "vm.ready"));
      response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    });
    assert.deepEqual(await leftEarly(env, ["events"]), { status: 141, stderr: "" });
    api.onExec((_asked, stream) => chatty(stream));
    assert.deepEqual(await leftEarly(env, ["vm", "exec", "box", "--", "x"]), { status: 141, stderr: "" });
  }));

test("vm run --rm whose reader has gone deletes its VM all the same", () =>
  withHost(async ({ api, env }) => {
    bootingVm(api);
    api.onExec((_asked, stream) => chatty(stream));
    const { status } = await leftEarly(env, ["vm", "run", "--rm", "--", "x"]);
    assert.equal(status, 141);
    const deleting = api.asked.filter(({ line }) => line === "POST /v1/vms/actions");
    assert.deepEqual(deleting[0]?.body, { action: "delete", refs: ["0a1b2c3d"] });
  }));

test("each cause has its words", () => {
  const end = (code: string) => outputEnd(Object.assign(new Error(`write ${code}`), { code }));
  assert.match(end("EFBIG").message, /the file would exceed the size limit/);
  assert.match(end("EOTHER").message, /write EOTHER/);
  assert.equal((end("EPIPE") as { exitStatus?: number }).exitStatus, 141);
});

/** What the CLI waits for: the guest's agent, or its init too; against an API that the test plays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bootingVm, echoingGuest, withHost } from "../doubles/cli-host.js";
import { type FakeApi, sendEvents } from "../doubles/fake-api.js";
import { eventView, vmView } from "../doubles/views.js";

const starting = { bootedAt: null } as const;

/** A VM whose agent answers at once and whose init is up once it was waited for; counts the commands run before. */
function slowInit(api: FakeApi) {
  bootingVm(api);
  let booted = false;
  const early = { commands: 0 };
  const steps = ["created", "start_requested", "process_started", "ready"];
  const events = steps.map((step, index) => eventView(index + 1, `vm.${step}`));
  api.on("GET /v1/vms/0a1b2c3d", () => vmView(booted ? { seq: 5 } : { ...starting, seq: 4 }));
  api.on("GET /v1/vms/box", () => vmView({ ...starting, seq: 4 }));
  api.on("GET /v1/events", ({ line }, response) => {
    const after = Number(/after=(\d+)/.exec(line)?.[1] ?? 0);
    sendEvents(response, events.slice(after));
    if (after < 4) return;
    setTimeout(() => {
      booted = true;
      response.write(`${JSON.stringify(eventView(5, "vm.booted"))}\n`);
    }, 300);
  });
  api.onExec((_asked, stream) => {
    if (!booted) early.commands += 1;
    echoingGuest(stream, { code: 0 });
  });
  return early;
}

test("the first command of vm run finds the init up, and with --wait agent runs before it is", () =>
  withHost(async ({ api, banger }) => {
    const early = slowInit(api);
    assert.equal((await banger(["vm", "run", "-q", "--wait", "agent", "--", "true"])).status, 0);
    assert.equal(early.commands, 1);
    for (const said of [[], ["--wait", "boot"]]) {
      const tooEarly = slowInit(api);
      assert.equal((await banger(["vm", "run", "-q", ...said, "--", "true"])).status, 0);
      assert.equal(tooEarly.commands, 0, said.join(" "));
    }
  }));

test("vm wait returns when the init is up, and says what did not come in time", () =>
  withHost(async ({ api, banger }) => {
    slowInit(api);
    assert.deepEqual(await banger(["vm", "wait", "box"]), { status: 0, stdout: "", stderr: "" });
    slowInit(api);
    assert.equal((await banger(["vm", "wait", "box", "--for", "agent"])).status, 0);
    const { status, stderr } = await banger(["vm", "wait", "box", "--for", "stopped", "--timeout", "1s"]);
    assert.equal(status, 1);
    assert.match(stderr, /^banger: box: it has not stopped after 1s\n {2}try: banger vm why box\n$/);
  }));

test("a word that says nothing that can be waited for is a mistake in the command", () =>
  withHost(async ({ banger }) => {
    const run = await banger(["vm", "run", "--wait", "ssh", "--", "true"]);
    assert.deepEqual([run.status, /"ssh" is neither agent nor boot/.test(run.stderr)], [125, true]);
    const wait = await banger(["vm", "wait", "box", "--for", "ssh"]);
    assert.deepEqual([wait.status, /"ssh" is not agent, boot or stopped/.test(wait.stderr)], [2, true]);
  }));

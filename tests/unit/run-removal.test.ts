/** `vm run --rm` at its end: it waits until its VM is gone, and no longer than whoever called it wants. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { bootingVm, echoingGuest, withHost } from "../doubles/cli-host.js";
import { type FakeApi, sendEvents } from "../doubles/fake-api.js";
import { eventView, vmView } from "../doubles/views.js";
import { until } from "../e2e/harness.js";

/** A VM that runs its command at once and whose deletion takes until the test says so. */
function slowlyDeleted(api: FakeApi): { followed: () => boolean; gone: () => void } {
  bootingVm(api);
  api.onExec((_asked, stream) => echoingGuest(stream, { code: 5 }));
  let follower: ServerResponse | undefined;
  api.on("POST /v1/vms/actions", () => {
    api.on("GET /v1/vms/0a1b2c3d", () => vmView({ phase: "deleting" }));
    api.on("GET /v1/events", (_asked, response) => {
      follower = response;
      sendEvents(response, [eventView(9, "vm.process_exited")]);
    });
    return { results: [{ ref: "0a1b2c3d", vm: vmView({ phase: "deleting" }), after: 8 }] };
  });
  return {
    followed: () => follower !== undefined,
    gone: () => {
      api.on("GET /v1/vms/0a1b2c3d", () => vmView({ phase: "deleted" }));
      follower?.write(`${JSON.stringify(eventView(10, "vm.deleted"))}\n`);
    },
  };
}

test("it ends when its VM is gone, and not before", () =>
  withHost(async ({ api, banger }) => {
    const { followed, gone } = slowlyDeleted(api);
    let ended = false;
    const run = banger(["vm", "run", "--rm", "--", "cat"], "out\n").finally(() => {
      ended = true;
    });
    await until("it waits for the end of its VM", followed);
    // Its look after the event has been answered: the VM is not gone yet.
    await until("it looked", () => api.asked.at(-1)?.line === "GET /v1/vms/0a1b2c3d");
    assert.equal(ended, false);
    gone();
    const { status, stderr } = await run;
    assert.equal(status, 5);
    assert.doesNotMatch(stderr, /still being deleted/);
  }));

test("Ctrl-C meanwhile ends the waiting, not the deletion, and keeps the command's status", () =>
  withHost(async ({ api, banger }) => {
    const { followed } = slowlyDeleted(api);
    let interrupt = (_signal: NodeJS.Signals): void => undefined;
    const run = banger(["vm", "run", "--rm", "--", "cat"], "out\n", (kill) => {
      interrupt = kill;
    });
    await until("it waits for the end of its VM", followed);
    interrupt("SIGINT");
    const { status, stderr } = await run;
    assert.equal(status, 5);
    assert.match(stderr, /^box is still being deleted; that continues by itself$/m);
  }));

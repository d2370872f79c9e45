/** What a command shows of many VMs, and of a build that goes on without it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bootingVm, withHost } from "../doubles/cli-host.js";
import { type FakeApi, sendError, sendEvents } from "../doubles/fake-api.js";
import { eventView, vmView } from "../doubles/views.js";
import { until } from "../e2e/harness.js";

const usage = { vcpu: 1, memoryMiB: 512, rootBytes: 5 << 20, rootMiB: 4096, diskBytes: 0, diskMiB: 8192 };

function threeVms(api: FakeApi): void {
  const vms = [
    vmView({ id: "00000001", name: "ann" }),
    vmView({ id: "00000002", name: "beatrice" }),
    vmView({ id: "00000003", name: "off", phase: "stopped" }),
  ];
  api.on("GET /v1/vms", () => vms);
  for (const vm of vms) {
    let looks = 0;
    api.on(`GET /v1/vms/${vm.name}`, () => vm);
    api.on(`GET /v1/vms/${vm.id}/stats`, () => {
      looks += 1;
      const at = new Date(1_767_225_600_000 + looks * 1000).toISOString();
      return { at, phase: vm.phase, cpuMs: looks * 500, rssBytes: 300 << 20, ...usage };
    });
  }
}

test("vm stats without a REF is every VM that runs, with one that VM, and as JSON a line for each", () =>
  withHost(async ({ api, banger }) => {
    threeVms(api);
    const all = await banger(["vm", "stats"]);
    assert.deepEqual([all.status, all.stderr], [0, ""]);
    const cells = all.stdout
      .trim()
      .split("\n")
      .map((line) => line.split(/ {2,}/));
    assert.deepEqual(cells, [
      ["NAME", "CPU", "MEMORY", "/", "/root", "STATE"],
      ["ann", "50%", "300M of 512M", "5M of 4G", "0M of 8G", "running"],
      ["beatrice", "50%", "300M of 512M", "5M of 4G", "0M of 8G", "running"],
    ]);
    const one = await banger(["vm", "stats", "off", "off", "--json"]);
    const [view, ...more] = one.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { name: string });
    assert.deepEqual([view?.name, more], ["off", []]);
    const json = (await banger(["vm", "stats", "--json"])).stdout.trim().split("\n");
    const names = json.map((line) => JSON.parse(line) as { id: string; name: string; cpu: number });
    assert.deepEqual(
      names.map(({ id, name, cpu }) => [id, name, cpu]),
      [
        ["00000001", "ann", 0.5],
        ["00000002", "beatrice", 0.5],
      ],
    );
    api.on("GET /v1/vms/00000001/stats", (_asked, response) =>
      sendError(response, 404, { code: "vm_not_found", message: "it went", retry: "never" }),
    );
    assert.match((await banger(["vm", "stats"])).stdout, /^NAME.*\nbeatrice .*\n$/);
    api.on("GET /v1/vms", () => []);
    const none = await banger(["vm", "stats"]);
    assert.deepEqual([none.status, none.stdout, none.stderr], [0, "", "no VM is running\n"]);
  }));

test("Ctrl-C in a pull says that the build goes on, and what ends it", () =>
  withHost(async ({ api, banger }) => {
    bootingVm(api);
    const image = { id: "debian-slim-00000000", name: "debian-slim", phase: "building" };
    api.on("POST /v1/images/pull", () => ({ image, after: 0, already: false, here: false }));
    let followed = false;
    api.on("GET /v1/events", (_asked, response) => {
      followed = true;
      sendEvents(response, [eventView(1, "image.pull_requested")]);
    });
    let interrupt = (_signal: NodeJS.Signals): void => undefined;
    const pull = banger(["image", "pull", "debian-slim"], "", (kill) => {
      interrupt = kill;
    });
    await until("it waits", () => followed);
    interrupt("SIGINT");
    const { status, stderr } = await pull;
    assert.equal(status, 130);
    assert.match(stderr, /still being built; to end that: banger image delete debian-slim-00000000$/m);
  }));

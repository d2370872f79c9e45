/** A VM that is wanted for one client alone: it goes with the last connection that holds it. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { canTellWhy } from "../../src/model/kept.js";
import { askWrong } from "../api-checks.js";
import { DaemonBench } from "../daemon-bench.js";

let bench: DaemonBench;
before(async () => {
  bench = await DaemonBench.open();
  await bench.start();
  await bench.pullImage();
});
after(() => bench.close());

/** An open hold, once the daemon has answered. */
async function hold(commandId: string): Promise<Socket> {
  const body = JSON.stringify({ always: false });
  const socket = connect(bench.socket);
  const head = ["host: x", "content-type: application/json", `content-length: ${body.length}`];
  socket.write(`POST /v1/holds/${commandId} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n${body}`);
  const [reply] = await new Promise<[Buffer]>((resolve) => socket.once("data", (bytes) => resolve([bytes])));
  assert.match(reply.toString(), /^HTTP\/1\.1 200 /);
  return socket;
}

const create = (commandId: string, name: string) => ({
  body: { commandId, name, spec: {}, start: true, held: true },
});

test("without its client a VM is not created", async () => {
  assert.equal(await askWrong(bench, "vmCreate", 409, create("command-nobody", "nobody")), "client_gone");
});

test("a VM goes with the last hold on it, whether it boots or runs", async () => {
  const [first, second] = [await hold("command-first"), await hold("command-first")];
  const { json } = await bench.ask("POST", "/v1/vms", create("command-first", "ann").body);
  const { id } = json as { id: string };
  first.destroy();
  await bench.event(`vm/${id}`, "vm.ready");
  second.destroy();
  await bench.event(`vm/${id}`, "vm.deleted");
  const third = await hold("command-third");
  const answer = await bench.ask("POST", "/v1/vms", create("command-third", "bob").body);
  third.destroy();
  await bench.event(`vm/${(answer.json as { id: string }).id}`, "vm.deleted");
});

test("only a VM whose guest never answered, and that has logs, can tell why", () => {
  const error = (step: string) => ({ phase: "error", readyAt: null, error: { step } });
  assert.equal(canTellWhy(error("agent")), true);
  assert.equal(canTellWhy(error("process")), true);
  assert.equal(canTellWhy({ phase: "stopped", readyAt: null, error: null }), true);
  for (const step of ["disk", "network"]) assert.equal(canTellWhy(error(step)), false);
  for (const phase of ["starting", "running", "stopping"])
    assert.equal(canTellWhy({ phase, readyAt: null, error: null }), false);
  assert.equal(canTellWhy({ ...error("agent"), readyAt: 1 }), false);
});

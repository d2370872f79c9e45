/** Carries one command's bytes between a client's connection and its guest, without looking at them. */
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type ExecRequest, execProtocol } from "../contract/guest.js";
import { resolveVm } from "../core/refs.js";
import { inContainer } from "./container.js";
import { linked } from "./linked.js";
import type { ApiDeps, Call, Handle } from "./route.js";
import { switchTo, type Upgrades } from "./streams.js";

export function execRoutes(handle: Handle, deps: ApiDeps, upgrades: Upgrades): void {
  handle<ExecRequest, unknown>("vmExec", (call) => upgrades.during(run(deps, call)));
}

async function run(deps: ApiDeps, { params, body, reply, gone }: Call<ExecRequest>): Promise<void> {
  const { ledger, images, uses } = deps;
  const { imageEnv, ...exec } = body;
  const vm = resolveVm(ledger.state, params["ref"] ?? "");
  const wanted = imageEnv ?? vm.spec.imageEnv ?? true;
  const command = wanted ? inContainer(exec, images.manifestOf(vm.imageId)) : exec;
  const ended = uses.begin(vm.id);
  try {
    const guest = await (await linked(deps, vm, gone)).exec(command, gone);
    await carry(switchTo(execProtocol, reply), guest);
  } finally {
    ended();
  }
}

/** Both ways, until either side ends. */
async function carry(client: Duplex, guest: Duplex): Promise<void> {
  guest.on("error", () => client.destroy());
  // The end of input is a frame. A client whose bytes end has gone, and its command with it.
  const fromClient = pipeline(client, guest, { end: false })
    .catch(() => undefined)
    .then(() => guest.destroy());
  await pipeline(guest, client).catch(() => undefined);
  guest.destroy();
  await fromClient;
}

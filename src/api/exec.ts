/** Carries one command's bytes between a client's connection and its guest, without looking at them. */
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type ExecHeaders, type ExecRequest, execProtocol } from "../contract/guest.js";
import { receivedHeader, sessionHeader } from "../contract/headers.js";
import { resolveVm } from "../core/refs.js";
import type { AgentClient } from "../guest/agent.js";
import { inContainer } from "./container.js";
import { linked } from "./linked.js";
import type { ApiDeps, Call, Handle } from "./route.js";
import { switchTo, type Upgrades } from "./streams.js";

/** How long a command goes on for a client that is there while no daemon is. */
const graceMs = 5 * 60_000;
const hangUpDeadlineMs = 2_000;

export function execRoutes(handle: Handle, deps: ApiDeps, upgrades: Upgrades): void {
  handle<ExecRequest, unknown, ExecHeaders>("vmExec", (call) => upgrades.during(run(deps, call, upgrades)));
}

async function run(
  deps: ApiDeps,
  { params, body, headers, reply, gone }: Call<ExecRequest, unknown, ExecHeaders>,
  upgrades: Upgrades,
): Promise<void> {
  const { ledger, images, uses, world } = deps;
  const { imageEnv, ...exec } = body;
  const vm = resolveVm(ledger.state, params["ref"] ?? "");
  const wanted = imageEnv ?? vm.spec.imageEnv ?? true;
  const command = wanted ? inContainer(exec, images.manifestOf(vm.imageId)) : exec;
  const { [sessionHeader]: id, [receivedHeader]: received } = headers;
  const session = id && { session: id, graceMs, ...(received !== undefined && { received }) };
  const ended = uses.begin(vm.id);
  let left = false;
  try {
    const client = await linked(deps, vm, gone);
    const guest = await client.exec(command, gone, session || undefined);
    left = await carry(switchTo(execProtocol, reply), guest);
  } finally {
    // The guest cannot tell the end of a client, which ends its command, from that of a daemon or a link.
    if (id && (left || gone.aborted) && !upgrades.closing) await hangUp(world.clientOf(vm.id), id);
    ended();
  }
}

/** Both ways, until either side ends. True when it was the client, or the command is over: nobody comes back for it. */
async function carry(client: Duplex, guest: Duplex): Promise<boolean> {
  let [left, broken] = [false, false];
  const leave = () => {
    left ||= !broken;
  };
  client.once("end", leave).once("close", leave);
  guest.on("error", () => {
    broken ||= !left;
    client.destroy();
  });
  // The end of input is a frame. A client whose bytes end has gone, and its command with it.
  const fromClient = pipeline(client, guest, { end: false })
    .catch(() => undefined)
    .then(() => guest.destroy());
  await pipeline(guest, client).catch(() => undefined);
  guest.destroy();
  await fromClient;
  return left;
}

/** Of a guest that does not answer the command ends by itself, when it has waited long enough. */
async function hangUp(client: AgentClient | undefined, id: string): Promise<void> {
  await client?.hangUp(id, AbortSignal.timeout(hangUpDeadlineMs)).catch(() => undefined);
}

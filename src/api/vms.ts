/** Routes of VMs: commands are decided and appended, questions are answered from state, host and guest. */
import type { HealthView, LogsQuery, PortView, VmCreate, VmStats, VmView } from "../contract/contract.js";
import type { SshView } from "../contract/guest.js";
import { logOffsetHeader } from "../contract/headers.js";
import { decide } from "../core/decide.js";
import { createdBy, isLive, resolveVm } from "../core/refs.js";
import { decideWithin } from "../core/room.js";
import { homeHandles, vmHandles } from "../home/handles.js";
import { errorBody } from "../lib/errors.js";
import { suggestName } from "../lib/names.js";
import type { Observed, Vm } from "../model/model.js";
import { publicNet } from "../model/net-policy.js";
import { followFile, tailBegin } from "./follow.js";
import type { Holds } from "./holds.js";
import { linked, refusePaused, silent } from "./linked.js";
import { checkNet } from "./net.js";
import { isForwarding, portViews } from "./ports.js";
import { rootSize } from "./root-size.js";
import { type ApiDeps, type Handle, roomOf } from "./route.js";
import { stream } from "./streams.js";
import { rfc3339, seenOf, specNow, vmView } from "./views.js";

const sshPort = 22;
const healthDeadlineMs = 5_000;
const sshWaitMs = 90_000;
const pollMs = 50;
/** The daemon hears of a listener within a second, and then forwards its port. */
const forwardWaitMs = 2_500;
const forwardPollMs = 250;
const nameCandidates = 16;

export function vmRoutes(handle: Handle, deps: ApiDeps, holds: Holds): void {
  const { ledger, world, home, clock } = deps;
  const find = (call: { params: Record<string, string> }): Vm =>
    resolveVm(ledger.state, call.params["ref"] ?? "");
  // The state changed while the host was observed: what is shown is the VM as of the seq that it carries.
  const view = (observed: Observed, { id }: Vm): VmView => {
    const vm = ledger.state.vms[id] as Vm;
    return vmView(ledger.state, vm, seenOf(observed, vm), { home, capabilities: world.capabilities });
  };

  handle("vmList", async (): Promise<VmView[]> => {
    const observed = await world.observe();
    const live = Object.values(ledger.state.vms).filter(isLive);
    return live.sort((a, b) => a.createdAt - b.createdAt).map((vm) => view(observed, vm));
  });
  handle<VmCreate, unknown>("vmCreate", async ({ body, cause }): Promise<VmView> => {
    if (body.held) holds.require(body.commandId);
    const vm = createVm(deps, body, cause);
    return view(await world.observe(), vm);
  });
  handle("vmShow", async (call): Promise<VmView> => {
    const vm = find(call);
    return view(await world.observe(), vm);
  });
  handle("vmHealth", (call): Promise<HealthView> => healthOf(deps, find(call)));
  handle("vmStats", async (call): Promise<VmStats> => {
    const vm = find(call);
    const seen = seenOf(await world.observe(), vm);
    const usage = world.usageOf(vm, seen.process);
    const { vcpu, memoryMiB, diskMiB } = { ...vm.spec, ...specNow(vm) };
    return { at: rfc3339(clock.now()), phase: vm.phase, vcpu, memoryMiB, diskMiB, ...usage };
  });
  handle("vmPorts", async (call): Promise<PortView[]> => {
    const vm = find(call);
    const client = await linked(deps, vm, call.gone);
    const listeners = await client.ports(AbortSignal.timeout(healthDeadlineMs));
    for (let waited = 0; ; waited += forwardPollMs) {
      const seen = seenOf(await world.observe(), vm);
      const views = await portViews(vm, seen, listeners, world.capabilities, clock, call.gone);
      if (!isForwarding(views) || waited >= forwardWaitMs || call.gone.aborted) return views;
      await new Promise<void>((resolve) => clock.after(forwardPollMs, resolve));
    }
  });
  handle("vmSsh", async (call): Promise<SshView> => {
    const vm = find(call);
    const port = await sshPortOf(deps, vm, call.gone);
    return {
      user: "root",
      address: vm.address,
      port,
      keyPath: deps.sshKey,
      knownHostsPath: homeHandles(home).knownHosts,
      hostKeyAlias: vmHandles(home, vm.id).hostKeyAlias,
    };
  });
  handle<unknown, LogsQuery>("vmLogs", async (call) => {
    const { source = "console", follow = false, tail, from } = call.query;
    const { consoleLog, vmmLog } = vmHandles(home, find(call).id);
    const path = source === "console" ? consoleLog : vmmLog;
    const begin = from ?? (tail === undefined ? 0 : await tailBegin(path, tail));
    const chunks = followFile(path, { follow, from: begin }, clock, call.gone);
    return stream(call.reply, "text/plain; charset=utf-8", chunks, { [logOffsetHeader]: String(begin) });
  });
}

function createVm(deps: ApiDeps, body: VmCreate, cause: string): Vm {
  const { ledger, clock, defaults, timeouts } = deps;
  checkNet(body.spec.net, deps.world.capabilities);
  const image = deps.images.fullReference(body.image ?? defaults.image);
  const candidates = () => Array.from({ length: nameCandidates }, () => suggestName(() => clock.random()));
  const command = {
    kind: "create",
    commandId: body.commandId,
    vmId: clock.hex(4),
    name: body.name ?? candidates(),
    image,
    spec: {
      vcpu: body.spec.vcpu ?? defaults.vcpu.value,
      memoryMiB: body.spec.memoryMiB ?? defaults.memoryMiB.value,
      diskMiB: body.spec.diskMiB ?? defaults.diskMiB.value,
      ...rootSize(deps, image, body.spec.rootMiB),
      net: { ...publicNet, ...body.spec.net },
      ...(body.spec.imageEnv === false && { imageEnv: false }),
    },
    start: body.start,
    labels: body.labels,
    ttlMs: body.ttlMs,
    addresses: deps.world.addresses,
  } as const;
  ledger.commit(decideWithin(roomOf(deps, body.force), ledger.state, command, timeouts), cause);
  return createdBy(ledger.state, body.commandId) as Vm;
}

const initWords = {
  starting: "its init is still coming up",
  up: "its init is up",
  unsaid: "its init does not say when it is up",
} as const;

async function healthOf(deps: ApiDeps, vm: Vm): Promise<HealthView> {
  const { world } = deps;
  const ill = (detail: string): HealthView => ({
    healthy: false,
    agent: null,
    uptimeMs: null,
    init: null,
    detail,
  });
  const client = world.clientOf(vm.id);
  try {
    refusePaused(deps, vm);
    if (client === undefined) return ill(`${vm.name} is ${vm.phase}`);
    const { agent, uptimeMs, init = "unsaid" } = await client.health(AbortSignal.timeout(healthDeadlineMs));
    return { healthy: true, agent, uptimeMs, init, detail: `the guest agent answers, ${initWords[init]}` };
  } catch (thrown) {
    return ill(errorBody(thrown).message);
  }
}

/** Where sshd answers. In a young guest it comes long after the agent, and a port without it only hangs up. */
async function sshPortOf(deps: ApiDeps, vm: Vm, gone: AbortSignal): Promise<number> {
  const { portForwarding } = deps.world.capabilities;
  for (let waited = 0; ; waited += pollMs) {
    refusePaused(deps, vm);
    const { forwards, listeners } = seenOf(await deps.world.observe(), vm);
    const up = listeners.is === "present" && listeners.list.some(({ port }) => port === sshPort);
    const forward =
      forwards.is === "present" ? forwards.list.find(({ guestPort }) => guestPort === sshPort) : undefined;
    const port = portForwarding ? forward?.hostPort : sshPort;
    if (up && port !== undefined) return port;
    if (deps.ledger.state.vms[vm.id]?.phase !== "running" || waited >= sshWaitMs || gone.aborted) {
      throw silent(deps.ledger.state.vms[vm.id] ?? vm, "sshd_unreachable", "nothing listens on its SSH port");
    }
    await new Promise<void>((resolve) => deps.clock.after(pollMs, resolve));
  }
}

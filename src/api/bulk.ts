/** Routes that command many VMs at once: each ref is resolved first, and a bad one does not stop the others. */
import type { VmAction, VmActionResult, VmSet, VmSetResult } from "../contract/contract.js";
import { type Command } from "../core/decide.js";
import { resolveVm } from "../core/refs.js";
import { decideWithin } from "../core/room.js";
import { errorBody } from "../lib/errors.js";
import type { Observed, VmId } from "../model/model.js";
import { checkNet } from "./net.js";
import { refuseRootSize } from "./root-size.js";
import { type ApiDeps, type Handle, roomOf } from "./route.js";
import { seenOf, vmView } from "./views.js";

export function bulkRoutes(handle: Handle, deps: ApiDeps): void {
  const { ledger, world, home } = deps;
  const { capabilities } = world;
  const viewOf = (observed: Observed, { vmId, error }: Commanded) => {
    const vm = vmId === undefined ? undefined : ledger.state.vms[vmId];
    const view = vm && vmView(ledger.state, vm, seenOf(observed, vm), { home, capabilities });
    return { ...(view && { vm: view }), ...(error && { error }) };
  };
  handle<VmAction, unknown>("vmAct", async ({ body, cause }): Promise<VmActionResult> => {
    const { seq: after } = ledger.state;
    const commanded = commandEach(
      deps,
      body.refs,
      cause,
      (vmId) => ({ kind: body.action, vmId }),
      body.force,
    );
    const observed = await world.observe();
    return { results: commanded.map((each) => ({ ref: each.ref, after, ...viewOf(observed, each) })) };
  });
  handle<VmSet, unknown>("vmSet", async ({ body, cause }): Promise<VmSetResult> => {
    const { refs, spec: changes = {}, labels, force } = body;
    const commanded = commandEach(
      deps,
      refs,
      cause,
      (vmId) => {
        const { imageId = "" } = ledger.state.vms[vmId] ?? {};
        const image = ledger.state.images[imageId]?.name ?? imageId;
        checkNet(changes.net, world.capabilities);
        refuseRootSize(changes.rootMiB, world.leastRootMiB(imageId), image);
        return { kind: "set", vmId, changes, labels };
      },
      force,
    );
    const observed = await world.observe();
    return { results: commanded.map((each) => ({ ref: each.ref, ...viewOf(observed, each) })) };
  });
}

interface Commanded {
  ref: string;
  vmId?: VmId;
  error?: ReturnType<typeof errorBody>;
}

/** Every ref is resolved before anything is appended, so that one command cannot change what another means. */
function commandEach(
  deps: ApiDeps,
  refs: readonly string[],
  cause: string,
  commandFor: (vmId: VmId) => Command,
  force: boolean | undefined,
): Commanded[] {
  const { ledger, timeouts } = deps;
  const room = roomOf(deps, force);
  const results: Commanded[] = [];
  const known = new Set<string>();
  for (const ref of refs) {
    try {
      const vmId = resolveVm(ledger.state, ref).id;
      if (known.has(vmId)) continue;
      known.add(vmId);
      results.push({ ref, vmId });
    } catch (thrown) {
      results.push({ ref, error: errorBody(thrown) });
    }
  }
  for (const result of results) {
    if (result.vmId === undefined) continue;
    try {
      const events = decideWithin(room, ledger.state, commandFor(result.vmId), timeouts);
      ledger.commit(events, cause);
    } catch (thrown) {
      result.error = errorBody(thrown);
    }
  }
  return results;
}

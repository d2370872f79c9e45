/** Routes of the daemon itself. */
import type { DaemonView, DefaultsView } from "../contract/daemon.js";
import { type ApiDeps, type Handle, roomOf } from "./route.js";
import { networkView, phaseCounts, roomView } from "./views.js";

/** What a QEMU that is started now would have; `none` where KVM is wanted alone, and cannot be used. */
async function accelerationOf({ world }: ApiDeps): Promise<Pick<DaemonView, "accelerator" | "notKvm">> {
  try {
    const { accelerator, why } = await world.acceleration();
    return { accelerator, notKvm: why };
  } catch (error) {
    return { accelerator: "none", notKvm: (error as Error).message };
  }
}

export function daemonRoutes(handle: Handle, deps: ApiDeps): void {
  const view = async (): Promise<DaemonView> => ({
    ...deps.about,
    ...(await accelerationOf(deps)),
    stateDir: deps.home.state,
    seq: deps.ledger.state.seq,
    vms: phaseCounts(deps.ledger.state),
    rssBytes: process.memoryUsage.rss(),
    network: networkView(deps.ledger.state.host),
    room: roomView(deps.ledger.state, roomOf(deps)),
  });
  handle("daemon", view);
  handle("defaults", (): DefaultsView => deps.defaults);
  handle("daemonStop", ({ reply }): Promise<DaemonView> => {
    reply.raw.on("finish", deps.stop);
    return view();
  });
}

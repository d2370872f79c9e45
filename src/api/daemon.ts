/** Routes of the daemon itself. */
import type { DaemonView, DefaultsView } from "../contract-daemon.js";
import { type ApiDeps, type Handle, roomOf } from "./route.js";
import { phaseCounts, roomView } from "./views.js";

export function daemonRoutes(handle: Handle, deps: ApiDeps): void {
  const view = (): DaemonView => ({
    ...deps.about,
    stateDir: deps.home.state,
    seq: deps.ledger.state.seq,
    vms: phaseCounts(deps.ledger.state),
    rssBytes: process.memoryUsage.rss(),
    room: roomView(deps.ledger.state, roomOf(deps)),
  });
  handle("daemon", view);
  handle("defaults", (): DefaultsView => deps.defaults);
  handle("daemonStop", ({ reply }): DaemonView => {
    reply.raw.on("finish", deps.stop);
    return view();
  });
}

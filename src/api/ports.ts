/** What listens in a guest, as the API shows it: where each is reached, by which name, and as which URL. */

import type { PortView } from "../contract/contract.js";
import type { Clock } from "../lib/clock.js";
import type { Capabilities, Forward, Listener, ObservedVm, Vm } from "../model/model.js";
import { mostForwards, onLoopback } from "../reconcilers/network.js";
import { webScheme } from "./web-probe.js";

/** A guest may listen on any number of ports; no more of them than this are asked what they speak. */
const mostProbes = 64;
const sshPort = 22;

/** A guest's listeners, each with where the host reaches it or why it does not; web servers have a URL. */
export async function portViews(
  vm: Vm,
  seen: ObservedVm,
  listeners: readonly Listener[],
  { portForwarding }: Capabilities,
  clock: Clock,
  gone: AbortSignal,
): Promise<PortView[]> {
  const forwards = seen.forwards.is === "present" ? seen.forwards.list : [];
  const views = once(listeners).map((listener) =>
    portView(vm, listener, portForwarding ? forwardedTo(listener, forwards) : ownPort(listener)),
  );
  const asked = views.filter(
    ({ endpoint, port, proto }) => endpoint !== null && port !== sshPort && proto === "tcp",
  );
  await Promise.all(asked.slice(0, mostProbes).map((view) => addUrl(vm, view, clock, gone)));
  return views;
}

/** A server on both 0.0.0.0 and :: (or both loopback addresses) is one server to whoever looks for it. */
function once(listeners: readonly Listener[]): Listener[] {
  const known = new Set<string>();
  return listeners.filter((listener) => {
    const key = `${listener.proto} ${listener.port} ${listener.pid} ${onLoopback(listener)}`;
    return !known.has(key) && known.add(key);
  });
}

/** The port of the VM's loopback address that leads there, or why none does. */
function forwardedTo(listener: Listener, forwards: readonly Forward[]): number | string {
  if (listener.proto !== "tcp") return "only TCP ports are forwarded";
  const forward = forwards.find(({ guestPort }) => guestPort === listener.port);
  if (forward === undefined)
    return forwards.length < mostForwards ? notYet : `only ${mostForwards} ports are forwarded`;
  const other = onLoopback(listener) && forward.loopback === undefined;
  return other ? "another server uses this port" : forward.hostPort;
}

/** On the bridge the address is the guest's own, and nothing of the host's listens for its loopback. */
const ownPort = (listener: Listener): number | string =>
  onLoopback(listener) ? "in system mode the guest's loopback is not forwarded" : listener.port;

const notYet = "not forwarded yet";

/** Whether a forward is about to be there. */
export const isForwarding = (ports: readonly PortView[]): boolean =>
  ports.some(({ reason }) => reason === notYet);

function portView(vm: Vm, listener: Listener, port: number | string): PortView {
  if (typeof port === "string") return { ...listener, endpoint: null, named: null, url: null, reason: port };
  return {
    ...listener,
    endpoint: `${vm.address}:${port}`,
    named: `${vm.name}.vm:${port}`,
    url: null,
    reason: null,
  };
}

async function addUrl(vm: Vm, view: PortView, clock: Clock, gone: AbortSignal): Promise<void> {
  const [host = "", port = ""] = (view.endpoint ?? "").split(":");
  const scheme = await webScheme({ host, port: Number(port), name: `${vm.name}.vm` }, clock, gone);
  if (scheme !== null) view.url = new URL(`${scheme}://${view.endpoint}`).href;
}

/** What listens in a guest, as the API shows it: where each is reached, by which name, and as which URL. */
import type { Clock } from "../clock.js";
import type { PortView } from "../contract.js";
import type { Forward, Listener, ObservedVm, Vm } from "../model.js";
import { onLoopback, reachable } from "../reconcilers/network.js";
import { webScheme } from "./web-probe.js";

/** A guest may listen on any number of ports; no more of them than this are asked what they speak. */
const mostProbes = 64;
const sshPort = 22;

/** A guest's listeners, each with where the host reaches it or why it does not; web servers have a URL. */
export async function portViews(
  vm: Vm,
  seen: ObservedVm,
  listeners: readonly Listener[],
  clock: Clock,
  gone: AbortSignal,
): Promise<PortView[]> {
  const forwards = seen.forwards.is === "present" ? seen.forwards.list : [];
  const views = once(listeners).map((listener) => portView(vm, listener, forwards));
  const asked = views.filter(({ endpoint, port }) => endpoint !== null && port !== sshPort);
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

function portView(vm: Vm, listener: Listener, forwards: readonly Forward[]): PortView {
  const forward = reachable(listener)
    ? forwards.find(({ guestPort }) => guestPort === listener.port)
    : undefined;
  if (forward === undefined) {
    return { ...listener, endpoint: null, named: null, url: null, reason: whyNot(listener) };
  }
  const endpoint = `${vm.address}:${forward.hostPort}`;
  return { ...listener, endpoint, named: `${vm.name}.vm:${forward.hostPort}`, url: null, reason: null };
}

function whyNot(listener: Listener): string {
  if (listener.proto !== "tcp") return "only TCP ports are forwarded";
  return reachable(listener) ? "not forwarded yet" : "it listens on the guest's own loopback only";
}

async function addUrl(vm: Vm, view: PortView, clock: Clock, gone: AbortSignal): Promise<void> {
  const [host = "", port = ""] = (view.endpoint ?? "").split(":");
  const scheme = await webScheme({ host, port: Number(port), name: `${vm.name}.vm` }, clock, gone);
  if (scheme !== null) view.url = new URL(`${scheme}://${view.named}`).href;
}

/** The machine of what VMs share on their host: unused → pending → ready, or error until it is ready. Runs no effect. */
import { produce } from "immer";
import { assign, setup, transition } from "xstate";
import type { NewEvent, StoredEvent } from "../model/events.js";
import { countLoss, type HostNetwork, type NetworkPhase, type WantedNetwork } from "../model/host-network.js";

type Drive = (StoredEvent | NewEvent) & { at?: number };
type DriveOf<T extends Drive["type"]> = Extract<Drive, { type: T }>;

function edit<T extends Drive["type"]>(recipe: (host: HostNetwork, event: DriveOf<T>, at: number) => void) {
  return ({ context, event }: { context: HostNetwork; event: Drive }) =>
    produce(context, (draft) => recipe(draft, event as DriveOf<T>, event.at ?? 0));
}

const same = (one: WantedNetwork | null, other: WantedNetwork): boolean =>
  one?.tapPoolSize === other.tapPoolSize && one.namesPort === other.namesPort;

const failure = { target: "error", actions: "noteFailure" } as const;
const ready = { target: "ready", actions: "noteReady" } as const;
const wanted = { target: "pending", actions: "noteWanted" } as const;

const machine = setup({
  types: { context: {} as HostNetwork, events: {} as Drive, input: {} as HostNetwork },
  actions: {
    noteWanted: assign(
      edit<"host.network_wanted">((host, event, at) => {
        host.wanted = event.data;
        host.wantedAt = at;
        host.error = null;
      }),
    ),
    noteReady: assign(
      edit((host) => {
        host.error = null;
      }),
    ),
    noteLoss: assign(
      edit((host, _event, at) => {
        host.losses = countLoss(host.losses, at);
      }),
    ),
    noteFailure: assign(
      edit<"host.effect_failed">((host, event) => {
        const { untold: _, ...error } = event.data;
        host.error = error;
      }),
    ),
  },
  guards: {
    sameWanted: ({ context, event }) =>
      event.type === "host.network_wanted" && same(context.wanted, event.data),
  },
}).createMachine({
  id: "host",
  context: ({ input }) => input,
  initial: "unused",
  states: {
    unused: { on: { "host.network_wanted": wanted } },
    pending: {
      on: { "host.network_wanted": wanted, "host.network_ready": ready, "host.effect_failed": failure },
    },
    ready: {
      on: {
        // The next daemon wants the same, and finds it.
        "host.network_wanted": [{ guard: "sameWanted", actions: "noteWanted" }, wanted],
        "host.network_lost": { target: "pending", actions: "noteLoss" },
        "host.effect_failed": failure,
      },
    },
    error: {
      on: { "host.network_wanted": wanted, "host.network_ready": ready, "host.effect_failed": failure },
    },
  },
});

const snapshotOf = (host: HostNetwork) => machine.resolveState({ value: host.phase, context: host });

/** Whether the event would change anything of the host in its present phase. */
export const hostCan = (host: HostNetwork, event: NewEvent): boolean => snapshotOf(host).can(event);

/** The host's part of the state after `event`; an event that its phase does not know leaves it as it is. */
export function hostAfter(host: HostNetwork, event: StoredEvent): HostNetwork {
  const [next] = transition(machine, snapshotOf(host), event);
  const phase = next.value as NetworkPhase;
  if (next.context === host && phase === host.phase) return host;
  return { ...next.context, phase, changedAt: phase === host.phase ? host.changedAt : event.at };
}

/** What all VMs of system mode share on their host: the bridge, the taps that lie ready, and the resolver's routing. */
import type { ErrorBody } from "../lib/errors.js";
import type { Seen } from "./seen.js";

/** What the daemon that runs now asks for. */
export interface WantedNetwork {
  /** How many taps are kept ready for new VMs. */
  tapPoolSize: number;
  /** The host's resolver asks at this port of 127.0.0.1 for names of VMs; null where nobody answers them. */
  namesPort: number | null;
}

/**
 * `unused`: no daemon has asked for it, as in user mode; `pending`: it is being made; `error`: something of it could not
 * be made, which is tried again.
 */
export type NetworkPhase = "unused" | "pending" | "ready" | "error";

/** The host's part of the state: one for all VMs. */
export interface HostNetwork {
  phase: NetworkPhase;
  wanted: WantedNetwork | null;
  /** When a daemon last said what it wants, in ms since the epoch. */
  wantedAt: number;
  /** What failed last; set only in `error`. */
  error: (ErrorBody & { effect: string }) | null;
  /** How often in a row the log was told that the bridge is gone, and when last. */
  losses: { count: number; at: number };
  changedAt: number;
}

export const noNetwork: HostNetwork = {
  phase: "unused",
  wanted: null,
  wantedAt: 0,
  error: null,
  losses: { count: 0, at: 0 },
  changedAt: 0,
};

/** One look at it. */
export interface SeenNetwork {
  /** With its address, forwarding and the firewall's tables; one that lacks any of them is absent. */
  bridge: Seen;
  /** Taps that lie ready. */
  tapPool: Seen<{ size: number }>;
  /** Where the host's resolver asks for names of VMs, or null; absent where there is no resolver that can be told. */
  resolver: Seen<{ port: number | null }>;
}

const networkSeenAs = (seen: Exclude<Seen, { is: "present" }>): SeenNetwork => ({
  bridge: seen,
  tapPool: seen,
  resolver: seen,
});

/** There is nothing of it, as in user mode. */
export const absentNetwork: SeenNetwork = networkSeenAs({ is: "absent" });
/** The look failed. */
export const unknownNetwork = (cause: string): SeenNetwork => networkSeenAs({ is: "unknown", cause });

/** Whether as many taps lie ready as are wanted; unknown is told apart from both. */
export function poolFits({ tapPoolSize }: WantedNetwork, { tapPool }: SeenNetwork): boolean | "unknown" {
  if (tapPool.is === "unknown") return "unknown";
  return tapPool.is === "present" && tapPool.size === tapPoolSize;
}

/** Whether names of VMs are asked where they are answered, as far as this host can have that. */
export function namesFit({ namesPort }: WantedNetwork, { resolver }: SeenNetwork): boolean | "unknown" {
  if (namesPort === null || resolver.is === "absent") return true;
  return resolver.is === "unknown" ? "unknown" : resolver.port === namesPort;
}

/** All of it is as it is wanted. */
export const networkFits = (wanted: WantedNetwork, seen: SeenNetwork): boolean =>
  seen.bridge.is === "present" && poolFits(wanted, seen) === true && namesFit(wanted, seen) === true;

type Losses = HostNetwork["losses"];

const gap = { firstMs: 60_000, maxMs: 60 * 60_000 };
/** After this time without a loss the next one counts as the first. */
const calmMs = 2 * gap.maxMs;
/** At this count the gap has long had its largest value. */
const mostCounted = 10;

/** One more loss is told, as of `at`. */
export const countLoss = ({ count, at: before }: Losses, at: number): Losses => ({
  count: at - before > calmMs ? 1 : Math.min(count + 1, mostCounted),
  at,
});

/**
 * When a loss may be told, in ms since the epoch: ever more rarely, for whatever takes the bridge away may go on for
 * ever, and the log is permanent. The bridge itself is made again at once, told or not.
 */
export const tellLossAt = ({ count, at }: Losses): number =>
  count === 0 ? at : at + Math.min(gap.firstMs * 2 ** (count - 1), gap.maxMs);

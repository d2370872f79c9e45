/** Routes of the event log: reading, following, explaining, verifying and replaying it. */
import type { HistoryView, WhyView } from "../contract/contract.js";
import type { EventsQuery, EventView, ReplayView, VerifyView } from "../contract/events.js";
import { history, sentence, waitingForBridge, why } from "../core/explain.js";
import { fold, initialState } from "../core/projection.js";
import { resolveVm } from "../core/refs.js";
import { BangerError } from "../lib/errors.js";
import { parseDuration } from "../lib/sizes.js";
import type { Ledger } from "../log/ledger.js";
import { type StoredEvent, vmStream } from "../model/events.js";
import type { State, Vm } from "../model/model.js";
import { type EventFilter, followEvents } from "./follow.js";
import type { ApiDeps, Handle } from "./route.js";
import { stream } from "./streams.js";
import { differences, rfc3339, seenOf, vmView } from "./views.js";

const eventView = (event: StoredEvent): EventView => ({
  seq: event.seq,
  stream: event.stream,
  version: event.version,
  type: event.type,
  at: rfc3339(event.at),
  cause: event.cause,
  data: event.data,
  sentence: sentence(event),
});

/** As `resolveVm`, but a VM that is deleted can be asked about as well: the last of that name or id. */
function findEver(state: State, ref: string): Vm {
  try {
    return resolveVm(state, ref);
  } catch (thrown) {
    const known = Object.values(state.vms).filter((vm) => vm.name === ref || vm.id === ref);
    const last = known.sort((a, b) => a.createdAt - b.createdAt).at(-1);
    if (last === undefined) throw thrown;
    return last;
  }
}

/** A VM and its whole life, also one that has moved to the archive. */
function lifeOf({ log, state }: Ledger, ref: string): { vm: Vm; events: StoredEvent[] } {
  try {
    const vm = findEver(state, ref);
    return { vm, events: [...log.read({ stream: vmStream(vm.id) })] };
  } catch (thrown) {
    const stream = log.findArchivedVm(ref);
    const events = stream === undefined ? [] : [...log.readArchived(stream)];
    const [vm] = Object.values(fold(initialState, events).vms);
    if (vm === undefined) throw thrown;
    return { vm, events };
  }
}

function sinceMs(text: string, now: number): number {
  const days = { today: 0, yesterday: 1 }[text];
  if (days !== undefined) return new Date(now).setHours(-24 * days, 0, 0, 0);
  const at = /^\d{4}-/.test(text) ? Date.parse(text) : now - parseDuration(text);
  if (Number.isNaN(at)) {
    throw new BangerError("invalid_request", `since: "${text}" is not a time or a duration`, {
      hint: "for example 10m, 2h, yesterday or 2026-01-31T12:00:00Z",
    });
  }
  return at;
}

/** The events that match; with `last` of those that there are the last ones only, before those to come. */
async function* wantedEvents(
  ledger: Ledger,
  filter: EventFilter,
  { follow, last }: { follow: boolean; last: number | undefined },
  gone: AbortSignal,
): AsyncGenerator<StoredEvent> {
  if (last === undefined) {
    yield* followEvents(ledger, filter, follow, gone);
    return;
  }
  const { seq } = ledger.state;
  let kept: StoredEvent[] = [];
  let read = seq;
  for await (const event of followEvents(ledger, filter, false, gone)) {
    kept.push(event);
    read = Math.max(read, event.seq);
    if (kept.length >= 2 * last + 1) kept = kept.slice(kept.length - last);
  }
  yield* kept.slice(Math.max(0, kept.length - last));
  if (follow) yield* followEvents(ledger, { ...filter, after: read }, follow, gone);
}

export function eventRoutes(handle: Handle, { ledger, world, home, clock }: ApiDeps): void {
  const streamOf = (ref: string): string =>
    /^(daemon|host|log|vm\/.+|image\/.+)$/.test(ref) ? ref : vmStream(findEver(ledger.state, ref).id);

  handle<unknown, EventsQuery>("events", (call) => {
    const { ref, after = 0, since, type, limit, last, cause, follow = false } = call.query;
    const filter: EventFilter = {
      after,
      ...(ref !== undefined && { stream: streamOf(ref) }),
      ...(since !== undefined && { sinceMs: sinceMs(since, clock.now()) }),
      ...(type !== undefined && { type }),
      ...(limit !== undefined && { limit }),
      ...(cause !== undefined && { cause }),
    };
    async function* lines() {
      for await (const event of wantedEvents(ledger, filter, { follow, last }, call.gone)) {
        yield `${JSON.stringify(eventView(event))}\n`;
      }
    }
    return stream(call.reply, "application/x-ndjson", lines());
  });
  handle("vmHistory", async ({ params }): Promise<HistoryView> => {
    const { vm, events } = lifeOf(ledger, params["ref"] ?? "");
    const seen = seenOf(await world.observe(), vm);
    const entries = history(events).map((entry) => ({ ...entry, at: rfc3339(entry.at) }));
    return { vm: vmView(ledger.state, vm, seen, { home, capabilities: world.capabilities }), entries };
  });
  handle("vmWhy", async ({ params }): Promise<WhyView> => {
    const { vm, events } = lifeOf(ledger, params["ref"] ?? "");
    const seen = seenOf(await world.observe(), vm);
    const waits = world.capabilities.bridgeNetworking ? waitingForBridge(vm, seen, ledger.state.host) : [];
    return {
      vm: vmView(ledger.state, vm, seen, { home, capabilities: world.capabilities }),
      sentences: [...why(vm, events), ...waits],
    };
  });
  handle("eventsVerify", (): VerifyView => {
    const corrupt = ledger.log.checkIntegrity();
    const folded = fold(initialState, ledger.log.read());
    const found = [...corrupt, ...differences(folded, ledger.state)];
    return {
      ok: found.length === 0,
      events: Object.values(folded.versions).reduce((a, b) => a + b, 0),
      differences: found,
    };
  });
  handle<unknown, { until: number }>("eventsReplay", ({ query }): ReplayView => {
    const state = fold(initialState, ledger.log.read({ until: query.until }));
    return { until: state.seq, vms: Object.values(state.vms), images: Object.values(state.images) };
  });
}

/** The event log's part of the contract. */
import { type Static, Type } from "@sinclair/typebox";
import { type Route, Time } from "./basics.js";

export const EventView = Type.Object({
  seq: Type.Integer(),
  stream: Type.String(),
  version: Type.Integer(),
  type: Type.String(),
  at: Time,
  cause: Type.String(),
  data: Type.Unknown(),
  /** The event as one plain sentence. */
  sentence: Type.String(),
});

export const EventsQuery = Type.Object(
  {
    /** A VM ref, or a stream such as `vm/<id>` or `image/<id>`. */
    ref: Type.Optional(Type.String()),
    after: Type.Optional(Type.Integer({ minimum: 0 })),
    /** RFC 3339 time, a duration such as `10m`, `today` or `yesterday`. */
    since: Type.Optional(Type.String()),
    /** Glob over the event type, such as `vm.*`. */
    type: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    /** The last ones only, of those that there are. */
    last: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    /** Only what this cause led to, such as `request:<id>`. */
    cause: Type.Optional(Type.String({ maxLength: 128 })),
    follow: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);

export const VerifyView = Type.Object({
  ok: Type.Boolean(),
  events: Type.Integer(),
  /** Paths at which the fold of the log and the live projection differ. */
  differences: Type.Array(Type.String()),
});

export const ReplayView = Type.Object({
  until: Type.Integer(),
  vms: Type.Array(Type.Unknown()),
  images: Type.Array(Type.Unknown()),
});

export const eventRoutes = {
  events: {
    method: "GET",
    path: "/v1/events",
    summary: "The event log",
    query: EventsQuery,
    reply: "application/x-ndjson of EventView, endless with follow",
  },
  eventsVerify: { method: "GET", path: "/v1/events/verify", summary: "Fold and compare", reply: VerifyView },
  eventsReplay: {
    method: "GET",
    path: "/v1/events/replay",
    summary: "The state as it was",
    query: Type.Object({ until: Type.Integer({ minimum: 0 }) }, { additionalProperties: false }),
    reply: ReplayView,
  },
} as const satisfies Record<string, Route>;

export type EventView = Static<typeof EventView>;
export type EventsQuery = Static<typeof EventsQuery>;
export type VerifyView = Static<typeof VerifyView>;
export type ReplayView = Static<typeof ReplayView>;

/** The API as TypeBox schemas: what the server validates, the client is typed by, and openapi.json shows. */
import { type Static, Type } from "@sinclair/typebox";
import { startFields } from "../model/model.js";
import { ApiError, NewName, Nullable, type Route, Time } from "./basics.js";
import { daemonRoutes } from "./daemon.js";
import { eventRoutes } from "./events.js";
import { guestRoutes, SshView, VmHold } from "./guest.js";
import { imageRoutes } from "./images.js";
import { limits } from "./limits.js";
import { VmChanges, VmSpecSchema } from "./spec.js";
import { unknownRoutes } from "./unknown.js";

const Id = Type.String({ pattern: "^[0-9a-f]{8}$" });

const VmName = NewName(
  "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
  "lowercase letters, digits and dashes, at most 63, starting and ending with a letter or digit",
);

const LabelKey = Type.String({ pattern: limits.labelKey });
const LabelValue = Type.String({ pattern: limits.labelValue });
const Labels = Type.Record(LabelKey, LabelValue, {
  maxProperties: limits.labels,
  additionalProperties: false,
});

export const VmCreate = Type.Object(
  {
    /** Made by the client; a second create with the same one is answered with the first VM. */
    commandId: Type.String({ minLength: 8, maxLength: 64 }),
    name: Type.Optional(VmName),
    /** Image name or id; the configured default image when left out. */
    image: Type.Optional(Type.String({ maxLength: 128 })),
    /** Fields left out take the defaults of config and host. */
    spec: VmChanges,
    start: Type.Boolean(),
    labels: Type.Optional(Labels),
    /** How long it is wanted; it is deleted when that is over. */
    ttlMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 315_360_000_000 })),
    /** Create it only while this client holds it, with the same command id: see /v1/holds. */
    held: Type.Optional(Type.Boolean()),
    /** Even if this machine has too little memory or disk space. */
    force: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);

export const VmView = Type.Object({
  id: Id,
  name: Type.String(),
  phase: Type.String(),
  /** Start step under way, null when not starting. */
  step: Nullable(Type.String()),
  image: Type.String(),
  /** What it has after its next start; `now` is what the guest that runs has of it. */
  spec: VmSpecSchema,
  now: Nullable(Type.Pick(VmSpecSchema, startFields)),
  /** The fields of `spec` that the guest that runs has after a restart only. */
  afterRestart: Type.Array(Type.Union(startFields.map((field) => Type.Literal(field)))),
  address: Type.String(),
  labels: Type.Record(Type.String(), Type.String()),
  /** When it is deleted by itself; null when it stays. */
  expiresAt: Nullable(Time),
  createdAt: Time,
  changedAt: Time,
  startedAt: Nullable(Time),
  readyAt: Nullable(Time),
  /** When the guest's init had come up; `readyAt` says only that its agent answered. */
  bootedAt: Nullable(Time),
  error: Nullable(Type.Composite([ApiError, Type.Object({ step: Type.String() })])),
  lastExit: Nullable(Type.Object({ reason: Type.String(), detail: Type.String(), at: Time })),
  /** The guest is paused: why, in words, and since when. Null while it runs, and without a guest. */
  paused: Nullable(Type.Object({ cause: Type.String(), detail: Type.String(), at: Time })),
  /** Last observed VMM process, null when there is none. */
  pid: Nullable(Type.Integer()),
  /** What executes its guest: `kvm`, or `tcg` (software); null without a process. */
  accelerator: Nullable(Type.String()),
  /** `loopback`: the address of the guest's own loopback that the forward leads to, where it does. */
  forwards: Type.Array(
    Type.Object({
      guestPort: Type.Integer(),
      hostPort: Type.Integer(),
      loopback: Type.Optional(Type.String()),
    }),
  ),
  /** The disks are as large as the spec says, are being made so, or will be at the next start. */
  diskSize: Type.Union((["fits", "growing", "at_start"] as const).map((state) => Type.Literal(state))),
  consoleLog: Type.String(),
  vmmLog: Type.String(),
  /** Seq of the log that this view shows: follow from here. */
  seq: Type.Integer(),
});

export const VmAction = Type.Object(
  {
    action: Type.Union(
      (["start", "stop", "restart", "kill", "delete"] as const).map((name) => Type.Literal(name)),
    ),
    /** Names, ids or unique id prefixes; resolved from one snapshot of the state. */
    refs: Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { minItems: 1, maxItems: 10_000 }),
    force: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);

/** One per VM in first-seen order; a ref that resolves to nothing has `error` and no `vm`. */
export const VmActionResult = Type.Object({
  results: Type.Array(
    Type.Object({
      ref: Type.String(),
      vm: Type.Optional(VmView),
      error: Type.Optional(ApiError),
      /** Follow the VM's stream after this seq to see what becomes of the command. */
      after: Type.Integer(),
    }),
  ),
});

/** Fields left out stay as they are. */
export const VmSet = Type.Object(
  {
    refs: Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { minItems: 1, maxItems: 10_000 }),
    force: Type.Optional(Type.Boolean()),
    spec: Type.Optional(Type.Composite([VmChanges], { additionalProperties: false, minProperties: 1 })),
    /** Labels that are not named stay; null takes one away. */
    labels: Type.Optional(Type.Record(LabelKey, Nullable(LabelValue), { additionalProperties: false })),
  },
  { additionalProperties: false },
);

/** One per VM in first-seen order. */
export const VmSetResult = Type.Object({
  results: Type.Array(
    Type.Object({
      ref: Type.String(),
      vm: Type.Optional(VmView),
      error: Type.Optional(ApiError),
    }),
  ),
});

export const PortView = Type.Object({
  proto: Type.String(),
  /** Address in the guest. */
  address: Type.String(),
  port: Type.Integer(),
  pid: Type.Integer(),
  process: Type.String(),
  command: Type.String(),
  /** `127.x.y.z:port` on the host; null when the port is not reachable from the host. */
  endpoint: Nullable(Type.String()),
  /** The same as `<name>.vm:port`, for hosts whose resolver asks banger. */
  named: Nullable(Type.String()),
  /** Set when a web server answers there; its host is the address, which works whatever resolves names. */
  url: Nullable(Type.String()),
  /** Why there is no endpoint. */
  reason: Nullable(Type.String()),
});

/** A VM's resource usage on the host; null where no VMM runs. */
export const VmStats = Type.Object({
  at: Time,
  phase: Type.String(),
  /** Processor time since the VMM started. */
  cpuMs: Nullable(Type.Integer()),
  vcpu: Type.Integer(),
  /** Memory of the VMM that is in RAM. */
  rssBytes: Nullable(Type.Integer()),
  memoryMiB: Type.Integer(),
  /** What the root disk really takes, without the image that VMs share; and its size. */
  rootBytes: Type.Integer(),
  rootMiB: Type.Integer(),
  /** What the work disk, which is /root, really takes; and its size. */
  diskBytes: Type.Integer(),
  diskMiB: Type.Integer(),
});

export const HealthView = Type.Object({
  healthy: Type.Boolean(),
  agent: Nullable(Type.String()),
  uptimeMs: Nullable(Type.Integer()),
  /** `starting`, `up`, or `unsaid` of an init that does not say; null where no agent answers. */
  init: Nullable(Type.String()),
  detail: Type.String(),
});

export const LogsQuery = Type.Object(
  {
    source: Type.Optional(Type.Union([Type.Literal("console"), Type.Literal("vmm")])),
    follow: Type.Optional(Type.Boolean()),
    /** Last lines only. */
    tail: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
    /** Skip that many bytes of the log: to continue where an earlier reply broke off. */
    from: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
);

export const HistoryView = Type.Object({
  vm: VmView,
  entries: Type.Array(
    Type.Object({
      seq: Type.Integer(),
      at: Time,
      /** Until the next entry; null for the last one. */
      durationMs: Nullable(Type.Integer()),
      type: Type.String(),
      sentence: Type.String(),
    }),
  ),
});

export const WhyView = Type.Object({ vm: VmView, sentences: Type.Array(Type.String()) });

/** Every route; `:ref` is a VM name, id or unique id prefix. */
export const routes = {
  ...daemonRoutes,
  vmList: { method: "GET", path: "/v1/vms", summary: "All VMs", reply: Type.Array(VmView) },
  vmCreate: { method: "POST", path: "/v1/vms", summary: "Create a VM", body: VmCreate, reply: VmView },
  vmHold: {
    method: "POST",
    path: "/v1/holds/:ref",
    summary: "Hold the VM of a create command: the VM is deleted when the connection ends",
    body: VmHold,
    reply: "text/plain, silent until the client ends it",
  },
  vmAct: {
    method: "POST",
    path: "/v1/vms/actions",
    summary: "Start, stop, restart, kill or delete VMs",
    body: VmAction,
    reply: VmActionResult,
  },
  vmSet: {
    method: "POST",
    path: "/v1/vms/set",
    summary: "Change VMs",
    body: VmSet,
    reply: VmSetResult,
  },
  vmShow: { method: "GET", path: "/v1/vms/:ref", summary: "One VM", reply: VmView },
  vmHealth: { method: "GET", path: "/v1/vms/:ref/health", summary: "Ask the agent", reply: HealthView },
  vmStats: { method: "GET", path: "/v1/vms/:ref/stats", summary: "Resource usage", reply: VmStats },
  vmPorts: { method: "GET", path: "/v1/vms/:ref/ports", summary: "Listeners", reply: Type.Array(PortView) },
  vmSsh: { method: "GET", path: "/v1/vms/:ref/ssh", summary: "How to reach sshd", reply: SshView },
  vmLogs: {
    method: "GET",
    path: "/v1/vms/:ref/logs",
    summary: "Console or VMM log",
    query: LogsQuery,
    reply: "text/plain, endless with follow",
  },
  vmHistory: {
    method: "GET",
    path: "/v1/vms/:ref/history",
    summary: "History of one VM",
    reply: HistoryView,
  },
  vmWhy: { method: "GET", path: "/v1/vms/:ref/why", summary: "Explain its current state", reply: WhyView },
  ...guestRoutes,
  ...unknownRoutes,
  ...imageRoutes,
  ...eventRoutes,
} as const satisfies Record<string, Route>;

export type ApiErrorBody = Static<typeof ApiError>;
export type VmView = Static<typeof VmView>;
export type VmCreate = Static<typeof VmCreate>;
export type VmAction = Static<typeof VmAction>;
export type VmActionResult = Static<typeof VmActionResult>;
export type VmSet = Static<typeof VmSet>;
export type VmSetResult = Static<typeof VmSetResult>;
export type VmStats = Static<typeof VmStats>;
export type PortView = Static<typeof PortView>;
export type HealthView = Static<typeof HealthView>;
export type LogsQuery = Static<typeof LogsQuery>;
export type HistoryView = Static<typeof HistoryView>;
export type WhyView = Static<typeof WhyView>;

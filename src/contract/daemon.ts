/** The contract's part on the daemon itself. */
import { type Static, Type } from "@sinclair/typebox";
import { ApiError, Nullable, type Route, Time } from "./basics.js";

export const DaemonView = Type.Object({
  pid: Type.Integer(),
  version: Type.String(),
  startedAt: Time,
  stateDir: Type.String(),
  seq: Type.Integer(),
  vms: Type.Record(Type.String(), Type.Integer()),
  vmm: Type.String(),
  /** What executes the guest of a QEMU that is started now: `kvm` or `tcg`, or `none` where KVM is wanted and fails. */
  accelerator: Type.String(),
  /** Why that is not KVM; null where it is. */
  notKvm: Nullable(Type.String()),
  /** Where names are answered, `host:port`; null when nothing answers. */
  dns: Nullable(Type.String()),
  /** Where the daemon looks programs up, as in PATH: its first caller's. */
  searchPath: Type.String(),
  rssBytes: Type.Integer(),
  /** The bridge that VMs hang on, with all that belongs to it; null in user mode, which has none. */
  network: Nullable(
    Type.Object({
      /** `pending`, `ready`, or `error`: then it is tried again. */
      phase: Type.String(),
      since: Time,
      error: Nullable(Type.Composite([ApiError, Type.Object({ effect: Type.String() })])),
    }),
  ),
  /** What VMs have of this machine, and may have. */
  room: Type.Object({
    /** Memory of VMs that run, and what it may come to; null where that cannot be told. */
    memoryMiB: Type.Object({ promised: Type.Integer(), limit: Nullable(Type.Integer()) }),
    /** What disks of all VMs may grow to, and what is free; below `reserve` nothing is started or pulled. */
    diskMiB: Nullable(
      Type.Object({ promised: Type.Integer(), free: Type.Integer(), reserve: Type.Integer() }),
    ),
  }),
});

/** Which value each VM default has, and where it came from. */
export const DefaultsView = Type.Object({
  image: Type.String(),
  vcpu: Type.Object({ value: Type.Integer(), source: Type.String() }),
  memoryMiB: Type.Object({ value: Type.Integer(), source: Type.String() }),
  diskMiB: Type.Object({ value: Type.Integer(), source: Type.String() }),
  /** Null: as large as the image's. */
  rootMiB: Type.Object({ value: Nullable(Type.Integer()), source: Type.String() }),
});

export const daemonRoutes = {
  daemon: { method: "GET", path: "/v1/daemon", summary: "The daemon", reply: DaemonView },
  daemonStop: {
    method: "POST",
    path: "/v1/daemon/stop",
    summary: "Stop the daemon; VMs keep running",
    reply: DaemonView,
  },
  defaults: { method: "GET", path: "/v1/defaults", summary: "Defaults of new VMs", reply: DefaultsView },
} as const satisfies Record<string, Route>;

export type DaemonView = Static<typeof DaemonView>;
export type DefaultsView = Static<typeof DefaultsView>;

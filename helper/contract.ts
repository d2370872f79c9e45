/** The whole interface of the root helper: its closed set of methods, what each takes and what it answers. */
import { type Static, type TObject, type TSchema, Type } from "@sinclair/typebox";

const closed = { additionalProperties: false };
const vmId = Type.String({ pattern: "^[0-9a-f]{8}$" });
const imageId = Type.String({ pattern: "^[a-z0-9][a-z0-9.-]{0,200}-[0-9a-f]{8}$" });
/** A guest's address; that it lies in the installed network is looked at afterwards. */
const address = Type.String({ pattern: "^(\\d{1,3}\\.){3}\\d{1,3}$" });
const pid = Type.Integer({ minimum: 2, maximum: 4_194_304 });
/** Field 22 of /proc/PID/stat. */
const startTime = Type.String({ pattern: "^\\d{1,20}$" });
const nothing = Type.Object({}, closed);

/** What a look found: ids, or why nothing can be said of this kind. */
const seenIds = Type.Union([
  Type.Object({ ids: Type.Array(vmId) }, closed),
  Type.Object({ unknown: Type.String() }, closed),
]);

const process = Type.Object({ pid, startTime }, closed);

const method = <P extends TObject, R extends TSchema>(params: P, result: R) => ({ params, result });

/**
 * Requests carry identities and small options. Every name and path is derived from them (src/home/handles.ts) and from the
 * root-owned metadata of the installation (metadata.ts).
 */
export const methods = {
  /** The helper's version, and which of its tools and kernel features this host has: for `doctor`. */
  about: method(
    nothing,
    Type.Object({
      version: Type.String(),
      deviceMapper: Type.Boolean(),
      firewall: Type.Union([Type.Literal("nft"), Type.Literal("iptables"), Type.Null()]),
      resolver: Type.Boolean(),
      /** Version of the installed Firecracker, null where none is usable; `problem` says why. */
      firecracker: Type.Union([Type.String(), Type.Null()]),
      problem: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
  /** One look at everything that the helper ever makes. */
  look: method(
    nothing,
    Type.Object({
      bridge: Type.Union([Type.Boolean(), Type.Object({ unknown: Type.String() })]),
      /** Taps that lie ready. */
      tapPool: Type.Union([
        Type.Object({ size: Type.Integer() }, closed),
        Type.Object({ unknown: Type.String() }, closed),
      ]),
      /** At which port of 127.0.0.1 the host's resolver asks for names in `.vm`; null where there is no resolver. */
      resolver: Type.Union([
        Type.Object({ port: Type.Union([Type.Integer(), Type.Null()]) }, closed),
        Type.Object({ unknown: Type.String() }, closed),
        Type.Null(),
      ]),
      /** VMs with a whole tap: on the bridge, up, bound to their address. */
      taps: seenIds,
      /** VMs of which a tap or a rule is left that makes no whole tap. */
      strayTaps: seenIds,
      nats: seenIds,
      /** VMs with a whole root device. */
      rootDevices: seenIds,
      /** VMs of which a device or a loop is left that makes no whole root device. */
      strayDevices: seenIds,
      jails: seenIds,
    }),
  ),
  /** Bridge, its address, forwarding and the firewall's tables. */
  ensureBridge: method(nothing, nothing),
  /** Takes all of that away, the tap pool and the resolver's routing with it. */
  ensureNoBridge: method(nothing, nothing),
  /** The host's resolver asks the daemon's DNS, at this port of 127.0.0.1, for names in `.vm`. */
  ensureResolver: method(
    Type.Object({ port: Type.Integer({ minimum: 1024, maximum: 65_535 }) }, closed),
    Type.Object({ routed: Type.Boolean() }, closed),
  ),
  /** That many taps lie ready to be given to VMs. */
  ensureTapPool: method(Type.Object({ size: Type.Integer({ minimum: 0, maximum: 64 }) }, closed), nothing),
  /** A tap on the bridge that its owner may open, from which only this address may speak. */
  ensureTap: method(Type.Object({ vmId, address }, closed), nothing),
  ensureNoTap: method(Type.Object({ vmId }, closed), nothing),
  /** This address has NAT. */
  ensureNat: method(Type.Object({ vmId, address }, closed), nothing),
  ensureNoNat: method(Type.Object({ vmId }, closed), nothing),
  /** A dm-snapshot of the image's root disk over the VM's `root.cow`, which the owner may open. */
  ensureRootDevice: method(
    Type.Object({ vmId, imageId }, closed),
    Type.Object({ device: Type.String() }, closed),
  ),
  ensureNoRootDevice: method(Type.Object({ vmId }, closed), nothing),
  /** Firecracker, jailed, with the VM's files in its chroot; it waits at its API socket there. */
  startVmm: method(
    Type.Object(
      {
        vmId,
        imageId,
        initrd: Type.String({ pattern: "^initrd-[0-9a-f]{16}\\.cpio$" }),
        rootDisk: Type.Union([Type.Literal("device"), Type.Literal("file")]),
        vcpu: Type.Integer({ minimum: 1, maximum: 32 }),
        memoryMiB: Type.Integer({ minimum: 16, maximum: 1_048_576 }),
      },
      closed,
    ),
    process,
  ),
  /** To this very process, if it is the VMM of that VM that the helper started; one that is gone is success. */
  signalVmm: method(
    Type.Object(
      { vmId, pid, startTime, signal: Type.Union([Type.Literal("SIGTERM"), Type.Literal("SIGKILL")]) },
      closed,
    ),
    nothing,
  ),
  /** The VM's chroot and cgroup are gone; refused while its VMM runs. */
  ensureNoJail: method(Type.Object({ vmId }, closed), nothing),
};

export type Methods = typeof methods;
export type MethodName = keyof Methods;
export type Params<M extends MethodName> = Static<Methods[M]["params"]>;
export type Result<M extends MethodName> = Static<Methods[M]["result"]>;

/**
 * One line of JSON each way, ended by "\n"; limits.ts says how long it may be. Answers come in the order in which calls
 * end. An error without an id is about a line that had none, and mostly the connection's last.
 */
export interface Request<M extends MethodName = MethodName> {
  id: number;
  method: M;
  params: Params<M>;
}
export type Answer<M extends MethodName = MethodName> = { id: number; result: Result<M> } | Failure;

export interface Failure {
  id: number | null;
  /** `rule` names the rule of docs/privileges.md that refused the call. */
  error: { code: string; message: string; rule?: string; hint?: string; retry: "never" | "later" };
}

/** The contract's part on VMs that run in this home and that the log does not know, as after a backup was put back. */
import { type Static, Type } from "@sinclair/typebox";
import { Nullable, type Route } from "./basics.js";

export const UnknownVm = Type.Object({
  id: Type.String({ pattern: "^[0-9a-f]{8}$" }),
  /** Its VMM. */
  pid: Type.Integer(),
  /** Where its disks are; null when the home has none of it. */
  directory: Nullable(Type.String()),
});

export const unknownRoutes = {
  unknownVmList: {
    method: "GET",
    path: "/v1/unknown-vms",
    summary: "Running VMs that are not in the log; banger leaves them alone",
    reply: Type.Array(UnknownVm),
  },
  unknownVmKill: {
    method: "POST",
    path: "/v1/unknown-vms/:ref/kill",
    summary: "End one of them, by its whole id; its directory stays",
    reply: UnknownVm,
  },
} as const satisfies Record<string, Route>;

export type UnknownVm = Static<typeof UnknownVm>;

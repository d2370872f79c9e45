/** What a VM is given, as the API has it: its size, and what its guest may reach. */
import { Type } from "@sinclair/typebox";
import { netModes } from "../model/net-policy.js";
import { limits } from "./limits.js";

const NetEntry = Type.String({ minLength: 1, maxLength: 300 });
const NetPolicySchema = Type.Object(
  {
    mode: Type.Union(netModes.map((mode) => Type.Literal(mode))),
    /** HOST[:PORT[-PORT]]: a name, *.name, an IPv4 address or network; or host:PORT. */
    allow: Type.Array(NetEntry, { maxItems: limits.netEntries }),
    deny: Type.Array(NetEntry, { maxItems: limits.netEntries }),
  },
  { additionalProperties: false },
);

export const VmSpecSchema = Type.Object(
  {
    vcpu: Type.Integer(limits.vcpu),
    memoryMiB: Type.Integer(limits.memoryMiB),
    diskMiB: Type.Integer(limits.diskMiB),
    /** Size of the root disk; where it is left out, that of the image's. */
    rootMiB: Type.Optional(Type.Integer(limits.diskMiB)),
    /** What the guest may reach: docs/network-policy.md. */
    net: NetPolicySchema,
    /** Whether commands get the environment, directory and user that a container image names; they do without it. */
    imageEnv: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);

/** Of a policy, too, what is left out stays as it is. */
export const VmChanges = Type.Composite(
  [
    Type.Partial(Type.Omit(VmSpecSchema, ["net"])),
    Type.Object({ net: Type.Optional(Type.Partial(NetPolicySchema, { additionalProperties: false })) }),
  ],
  { additionalProperties: false },
);

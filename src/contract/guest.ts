/** The API's schemas of what a client does in a guest, and with a VM that is for it alone. */
import { type Static, Type } from "@sinclair/typebox";

/** The VM of a create command is deleted when its client's last hold ends. */
export const VmHold = Type.Object(
  {
    /** Also a VM whose guest never became reachable, which else is kept so that its logs can say why. */
    always: Type.Boolean(),
  },
  { additionalProperties: false },
);

export const SshView = Type.Object({
  user: Type.String(),
  address: Type.String(),
  port: Type.Integer(),
  keyPath: Type.String(),
  knownHostsPath: Type.String(),
  hostKeyAlias: Type.String(),
});

export const ExecRequest = Type.Object(
  {
    argv: Type.Array(Type.String(), { minItems: 1, maxItems: 131_072 }),
    cwd: Type.Optional(Type.String()),
    env: Type.Optional(Type.Record(Type.String(), Type.String())),
    /** As of the VM, for this command. */
    imageEnv: Type.Optional(Type.Boolean()),
    tty: Type.Optional(Type.Boolean()),
    cols: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
    rows: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
  },
  { additionalProperties: false },
);

export type VmHold = Static<typeof VmHold>;
export type SshView = Static<typeof SshView>;
export type ExecRequest = Static<typeof ExecRequest>;

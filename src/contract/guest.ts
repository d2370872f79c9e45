/** The API's schemas of what a client does in a guest, and with a VM that is for it alone. */
import { type Static, Type } from "@sinclair/typebox";
import type { Route } from "./basics.js";
import { receivedHeader, sessionHeader } from "./headers.js";

/** What a connection speaks on which a command runs: the frames of src/guest/exec-frames.ts. */
export const execProtocol = "banger-exec";

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

export const ExecHeaders = Type.Object({
  /** Made by the client. The command then outlives its connection, and what is asked for twice is begun once. */
  [sessionHeader]: Type.Optional(
    Type.String({
      pattern: "^[A-Za-z0-9_-]{16,64}$",
      description: "16 to 64 letters, digits, dashes and underscores",
    }),
  ),
  /** Go on with that command, behind so many bytes of its frames. */
  [receivedHeader]: Type.Optional(Type.Integer({ minimum: 0 })),
});

export const guestRoutes = {
  vmExec: {
    method: "POST",
    path: "/v1/vms/:ref/exec",
    summary: "Run a command; upgrades to banger-exec framing",
    upgrade: execProtocol,
    headers: ExecHeaders,
    body: ExecRequest,
    // What Linux takes (2 MiB of arguments and environment) fits, however JSON has to spell it.
    bodyMaxBytes: 16 * 1024 * 1024,
    reply:
      "101 Switching Protocols to banger-exec, which the request asks for by `Connection: Upgrade` and `Upgrade: " +
      "banger-exec`; without them it is refused with 426. Both sides send frames: one byte of type, three zero bytes, the " +
      "payload's length as a little-endian 32-bit number, at most 16384, and the payload. To the command: 0 input, " +
      "1 end of input, 2 terminal size (columns and rows, 16 bits each, little-endian), 3 signal (one byte, its Linux " +
      "number). From it: 16 output, 17 error output, 18 its end as JSON (`{code}` or `{signal, number}`), 19 why it " +
      "could not be started as JSON (`{code, message}`), 20 how many more bytes of input may be sent beyond the first " +
      "65536 (32 bits, little-endian). Frame 18 or 19 is the last one. With the header banger-session " +
      "the first frame is 21: how many bytes of the client's frames the guest has taken (64 bits, little-endian). The " +
      "client then says by frame 4 " +
      "how many bytes of the guest's frames, 21 left out, have come, at the latest each 128 KiB, and is told by frame 22 " +
      "of its own. A connection that breaks while the client is there is followed by another one with the same request, " +
      "the same banger-session and banger-received; both sides go on behind what the other has. A guest with an older " +
      "agent sends no 21, and hangs its command up with the connection.",
  },
} as const satisfies Record<string, Route>;

export type VmHold = Static<typeof VmHold>;
export type SshView = Static<typeof SshView>;
export type ExecHeaders = Static<typeof ExecHeaders>;
export type ExecRequest = Static<typeof ExecRequest>;

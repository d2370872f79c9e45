/** What a guest's agent answers. */
import { type Static, Type } from "@sinclair/typebox";

export const Health = Type.Object({
  status: Type.Literal("ok"),
  agent: Type.String({ maxLength: 64 }),
  /** Since the guest's kernel started. */
  uptimeMs: Type.Number(),
  /** Another one after each boot of the guest. */
  bootId: Type.String({ maxLength: 64 }),
  /** The guest's time, in ms since the epoch. */
  unixMs: Type.Optional(Type.Number()),
  /** Somebody in the guest has set that since it booted, or since it was set from here. */
  ownClock: Type.Optional(Type.Boolean()),
  /** `unsaid`: its init is none that says when it is up. */
  init: Type.Optional(Type.Union([Type.Literal("starting"), Type.Literal("up"), Type.Literal("unsaid")])),
});
export const Ports = Type.Object({
  ports: Type.Array(
    Type.Object({
      proto: Type.Union([Type.Literal("tcp"), Type.Literal("udp")]),
      address: Type.String({ maxLength: 64 }),
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
      /** 0 when the socket is the kernel's own or its owner is unknown. */
      pid: Type.Integer({ minimum: 0 }),
      process: Type.String({ maxLength: 256 }),
      command: Type.String({ maxLength: 1024 }),
    }),
    { maxItems: 1024 },
  ),
});
export const Failure = Type.Object({
  code: Type.String({ pattern: "^[a-z_]{1,64}$" }),
  message: Type.String(),
});
export const Done = Type.Object({});

export type AgentHealth = Static<typeof Health>;
export type AgentListener = Static<typeof Ports>["ports"][number];

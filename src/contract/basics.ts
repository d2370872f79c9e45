/** What every part of the contract is made with. */
import { type TSchema, Type } from "@sinclair/typebox";

export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** Times are RFC 3339 in UTC; sizes carry their unit in the name. */
export const Time = Type.String({ format: "date-time" });

/**
 * The name of something new. `form` says in words what the pattern says: what a refusal tells, which has a code of
 * its own.
 */
export const NewName = (pattern: string, form: string) =>
  Type.String({ pattern, description: form, "x-error-code": "name_invalid" });

export const ApiError = Type.Object({
  code: Type.String(),
  message: Type.String(),
  hint: Type.Optional(Type.String()),
  retry: Type.Union([Type.Literal("never"), Type.Literal("later")]),
});

export interface Route {
  method: "GET" | "POST" | "DELETE";
  path: string;
  summary: string;
  query?: TSchema;
  body?: TSchema;
  /** Headers that mean something to this route, by their lower-case names. */
  headers?: TSchema;
  /** The longest body; 2 MiB unless told. */
  bodyMaxBytes?: number;
  /** The protocol that a request must ask for. */
  upgrade?: string;
  /** Schema of the answer; a string says what a stream carries. */
  reply: TSchema | string;
}

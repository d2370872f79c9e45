/** Checks request parts against the contract's TypeBox schemas and says what is wrong in one line. */
import type { TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Value } from "@sinclair/typebox/value";
import { BangerError } from "../errors.js";

/** Yields the value when it fits. Query strings hold text, so numbers and booleans are read from text there. */
export function validator<T>(schema: TSchema, part: "body" | "query"): (value: unknown) => T {
  const compiled = TypeCompiler.Compile(schema);
  return (raw) => {
    const value = part === "query" ? Value.Convert(schema, raw) : raw;
    if (compiled.Check(value)) return value as T;
    const first = compiled.Errors(value).First();
    const where = first === undefined || first.path === "" ? part : `${part}${first.path}`;
    throw new BangerError("invalid_request", `${where}: ${first?.message ?? "not what is expected"}`);
  };
}

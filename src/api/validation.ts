/** Checks request parts against the contract's TypeBox schemas and says in a sentence what is wrong. */
import type { TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { type ValueError, ValueErrorType } from "@sinclair/typebox/errors";
import { Value } from "@sinclair/typebox/value";
import type { ErrorCode } from "../lib/error-codes.js";
import { BangerError } from "../lib/errors.js";
import { suggest } from "../lib/suggest.js";

type Part = "body" | "query" | "headers";

/** Of a request that is wrong all over only so much is looked at. */
const mostErrors = 100;
const shownChars = 60;

/** Yields the value when it fits. Query strings and headers hold text, so numbers and booleans are read from text there. */
export function validator<T>(schema: TSchema, part: Part): (value: unknown) => T {
  const compiled = TypeCompiler.Compile(schema);
  return (raw) => {
    const value = part !== "body" ? Value.Convert(schema, raw) : raw;
    if (compiled.Check(value)) return value as T;
    throw refusal(worst(compiled.Errors(value)), part);
  };
}

/** What was given and is wrong comes before what is missing: whoever gave it meant something by it. */
function worst(errors: Iterable<ValueError>): ValueError {
  let first: ValueError | undefined;
  let count = 0;
  for (const error of errors) {
    first ??= error;
    if (error.value !== undefined) return error;
    if (++count === mostErrors) break;
  }
  return first as ValueError;
}

function refusal(error: ValueError, part: Part): BangerError {
  const { schema, value } = error;
  const fields = error.path.split("/").slice(1);
  if (error.type === ValueErrorType.ObjectAdditionalProperties) return unknownField(schema, fields, part);
  const field = fieldText(fields, part);
  const form = formOf(schema);
  if (value === undefined) {
    return new BangerError("invalid_request", `${field} is missing: it must be ${form}`, { hint: reference });
  }
  const code = schema["x-error-code"] as ErrorCode | undefined;
  const message = `${field} cannot be ${shown(value)}: it must be ${form}`;
  if (code === undefined) return new BangerError("invalid_request", message, { hint: reference });
  return new BangerError(code, message, { hint: `--name ${nameLike(String(value))}` });
}

/** The whole API is described there; no command fixes a request that a program made. */
const reference = "docs/openapi.json describes each request";

function unknownField(schema: TSchema, fields: readonly string[], part: Part): BangerError {
  const name = fields.at(-1) ?? "";
  const known = Object.keys((schema["properties"] ?? {}) as object);
  const where = fields.length > 1 ? fieldText(fields.slice(0, -1), part) : `the ${part}`;
  const meant = known.find((each) => flagOf[each] === `--${name}` || each === `${name}MiB`);
  const near = meant ?? suggest(name, known);
  return new BangerError("invalid_request", `${where} has no field ${shown(name)}`, {
    hint: near === undefined ? `its fields are ${known.join(", ")}` : `${withFlag(near)}`,
  });
}

/** Fields that the command line calls something else. */
const flagOf: Readonly<Record<string, string>> = {
  memoryMiB: "--memory",
  diskMiB: "--disk-size",
  rootMiB: "--root-size",
  sizeMiB: "--size",
  kernelRef: "--kernel-ref",
  workSeed: "--work-seed",
};

const withFlag = (field: string): string =>
  flagOf[field] === undefined ? field : `${field} (${flagOf[field]})`;

/** "memoryMiB (--memory) of spec", "refs[2]", "the body". */
function fieldText(fields: readonly string[], part: Part): string {
  const isIndex = (each: string) => /^\d+$/.test(each);
  const names = fields.filter((each) => !isIndex(each));
  const last = names.at(-1);
  if (last === undefined) return `the ${part}`;
  const index = fields.length > names.length ? `[${fields.filter(isIndex).join("][")}]` : "";
  const of = names.slice(0, -1).reverse();
  return [`${withFlag(last)}${index}`, ...of].join(" of ");
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > shownChars ? `${text.slice(0, shownChars - 1)}…` : text;
};

/** What a value must be, in words. */
function formOf(schema: TSchema): string {
  const { type, description, minimum = 0, maximum, minLength = 0, maxLength } = schema;
  if (description !== undefined) return description;
  if (Array.isArray(schema["anyOf"])) return (schema["anyOf"] as TSchema[]).map(formOf).join(" or ");
  if ("const" in schema) return shown(schema["const"]);
  const range = (low: number, high: unknown) => (high === undefined ? `${low} or more` : `${low} to ${high}`);
  switch (type) {
    case "integer":
      return maximum === undefined
        ? `a whole number of at least ${minimum}`
        : `a whole number from ${minimum} to ${maximum}`;
    case "boolean":
      return "true or false";
    case "string":
      return maxLength === undefined ? "text" : `text of ${range(minLength, maxLength)} characters`;
    case "array":
      return `a list of ${range(schema["minItems"] ?? 0, schema["maxItems"])}`;
    default:
      return schema["minProperties"] === undefined ? "an object" : "an object with something in it";
  }
}

/** The nearest name that can be: without accents and capitals, with dashes for what cannot stand in it. */
export function nameLike(text: string): string {
  const plain = text.normalize("NFKD").replace(/\p{Mark}/gu, "");
  const dashed = plain
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 63);
  return dashed.replace(/^-+|-+$/g, "") || "box";
}

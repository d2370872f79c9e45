/** Checks requests against Firecracker's published API, where its description is at hand. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

interface Schema {
  $ref?: string;
  type?: string;
  enum?: unknown[];
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  minimum?: number;
  maximum?: number;
}

interface Description {
  paths: Record<string, Record<string, { parameters?: { in: string; schema?: Schema }[] }>>;
  definitions: Record<string, Schema>;
}

const beside = fileURLToPath(new URL("../../../../shared/firecracker-v1.16.1-api.yaml", import.meta.url));
const path = process.env["BANGER_FIRECRACKER_API"] ?? beside;
const description = existsSync(path) ? (parse(readFileSync(path, "utf8")) as Description) : undefined;

/** Undefined where requests are checked; else the word that they are not. */
export const unchecked =
  description === undefined
    ? `requests are not checked: there is no description of the API at ${path}`
    : undefined;

function wrongWith(schema: Schema, value: unknown, at: string): string[] {
  if (description === undefined) return [];
  if (schema.$ref !== undefined) {
    const named = description.definitions[schema.$ref.replace("#/definitions/", "")];
    return named === undefined ? [`${at}: ${schema.$ref} is not described`] : wrongWith(named, value, at);
  }
  if (schema.enum !== undefined && !schema.enum.includes(value))
    return [`${at}: ${JSON.stringify(value)} is none of ${schema.enum.join(", ")}`];
  switch (schema.type) {
    case "object":
      return wrongInObject(schema, value, at);
    case "array":
      return Array.isArray(value)
        ? value.flatMap((each, index) => wrongWith(schema.items ?? {}, each, `${at}[${index}]`))
        : [`${at} is no array`];
    case "integer":
      return Number.isInteger(value) &&
        (value as number) >= (schema.minimum ?? Number.NEGATIVE_INFINITY) &&
        (value as number) <= (schema.maximum ?? Number.POSITIVE_INFINITY)
        ? []
        : [`${at}: ${JSON.stringify(value)} is no such integer`];
    case "string":
    case "boolean":
      return typeof value === schema.type ? [] : [`${at} is no ${schema.type}`];
    default:
      return [];
  }
}

/** Firecracker knows no other properties than those that are described, and refuses them. */
function wrongInObject({ properties = {}, required = [] }: Schema, value: unknown, at: string): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${at} is no object`];
  const missing = required.filter((name) => !(name in value)).map((name) => `${at}.${name} is missing`);
  const wrong = Object.entries(value).flatMap(([name, each]) => {
    const schema = properties[name];
    return schema === undefined ? [`${at}.${name} is unknown`] : wrongWith(schema, each, `${at}.${name}`);
  });
  return [...missing, ...wrong];
}

/** What is wrong with a request; nothing where there is no description. */
export function wrongWithRequest(method: string, target: string, body: unknown): string[] {
  if (description === undefined) return [];
  const template = Object.keys(description.paths).find((path) =>
    new RegExp(`^${path.replace(/\{\w+\}/g, "[A-Za-z0-9_]+")}$`).test(target),
  );
  const operation = description.paths[template ?? ""]?.[method.toLowerCase()];
  if (operation === undefined) return [`${method} ${target} is not described`];
  const schema = operation.parameters?.find((parameter) => parameter.in === "body")?.schema;
  if (schema === undefined) return body === undefined ? [] : [`${method} ${target} takes no body`];
  return wrongWith(schema, body, "body");
}

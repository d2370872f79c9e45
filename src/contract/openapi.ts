/** Pure: the contract as an OpenAPI 3.1 document, whose schemas are the contract's own. */
import type { TSchema } from "@sinclair/typebox";
import type { Route } from "./basics.js";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A schema without what only TypeBox knows. */
const plain = (schema: unknown): Json => JSON.parse(JSON.stringify(schema)) as Json;

/** `value` with each schema that has a name replaced by a reference to it; `top` itself is left as it is. */
function refer(value: Json, names: ReadonlyMap<string, string>, top = false): Json {
  if (typeof value !== "object" || value === null) return value;
  const name = top ? undefined : names.get(JSON.stringify(value));
  if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
  if (Array.isArray(value)) return value.map((each) => refer(each, names));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, refer(each, names)]));
}

const json = (schema: Json): Json => ({ "application/json": { schema } });

/** A reply that is no JSON is told in words, which begin with its status or its content type. */
function success(reply: TSchema | string, names: ReadonlyMap<string, string>): { [status: string]: Json } {
  if (typeof reply !== "string") {
    return { 200: { description: "Success", content: json(refer(plain(reply), names)) } };
  }
  if (reply.startsWith("101")) return { 101: { description: reply } };
  const contentType = reply.split(/[ ,;]/)[0] as string;
  return { 200: { description: reply, content: { [contentType]: {} } } };
}

function parametersOf(route: Route): Json[] {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name: name as string,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const required = new Set((route.query?.["required"] as string[] | undefined) ?? []);
  const properties = (route.query?.["properties"] ?? {}) as Record<string, TSchema>;
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: "query",
    required: required.has(name),
    schema: plain(schema),
  }));
  const headers = (route.headers?.["properties"] ?? {}) as Record<string, TSchema>;
  const inHeader = Object.entries(headers).map(([name, schema]) => ({
    name,
    in: "header",
    required: false,
    schema: plain(schema),
  }));
  return [...inPath, ...inQuery, ...inHeader];
}

/**
 * The document for these routes. `schemas` are those that get a name of their own; `ApiError` must be one of
 * them, for it is what every refusal holds.
 */
export function openApiDocument(
  routes: Readonly<Record<string, Route>>,
  schemas: Readonly<Record<string, TSchema> & { ApiError: TSchema }>,
  version: string,
): Json {
  const names = new Map(Object.entries(schemas).map(([name, schema]) => [JSON.stringify(schema), name]));
  const paths: { [path: string]: { [method: string]: Json } } = {};
  for (const [operationId, route] of Object.entries(routes)) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    const body = route.body && { required: true, content: json(refer(plain(route.body), names)) };
    paths[path] = {
      ...paths[path],
      [route.method.toLowerCase()]: {
        operationId,
        summary: route.summary,
        parameters: parametersOf(route),
        ...(body && { requestBody: body }),
        responses: { ...success(route.reply, names), default: { $ref: "#/components/responses/Error" } },
      },
    };
  }
  const error = { type: "object", required: ["error"], properties: { error: plain(schemas.ApiError) } };
  const named = Object.entries(schemas).map(([name, schema]) => [name, refer(plain(schema), names, true)]);
  return {
    openapi: "3.1.0",
    info: { title: "banger", description: "HTTP over the daemon's Unix socket.", version },
    paths,
    components: {
      schemas: Object.fromEntries(named) as Json,
      responses: {
        Error: {
          description: "A refusal or failure; `hint` is a command that fixes it",
          content: json(refer(error, names)),
        },
      },
    },
  };
}

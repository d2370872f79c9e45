/** Requests to the API whose replies must be what the contract says. */
import assert from "node:assert/strict";
import { FormatRegistry, type TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { RouteName } from "../src/client/client.js";
import { ApiError, type Route } from "../src/contract/basics.js";
import { routes } from "../src/contract/contract.js";
import type { DaemonBench } from "./daemon-bench.js";

FormatRegistry.Set("date-time", (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text));

export interface Parts {
  ref?: string;
  query?: string;
  body?: unknown;
}

const pathOf = (name: RouteName, { ref = "", query = "" }: Parts) =>
  routes[name].path.replace(":ref", ref) + query;

/** Fits the schema, and holds nothing that the schema does not tell of. */
export function conforms(schema: TSchema, value: unknown): void {
  const first = Value.Errors(schema, value).First();
  assert.equal(first, undefined, `${first?.path}: ${first?.message}`);
  assert.deepEqual(Value.Clean(schema, structuredClone(value)), value);
}

/** Calls a route that must succeed; its reply is checked against the contract. */
export async function ask<T>(bench: DaemonBench, name: RouteName, parts: Parts = {}): Promise<T> {
  const route: Route = routes[name];
  const { status, text, json } = await bench.ask(route.method, pathOf(name, parts), parts.body);
  assert.equal(status, 200, text);
  if (typeof route.reply === "string") return text as T;
  conforms(route.reply, json);
  return json as T;
}

/** Calls a route that must refuse with this status; yields the error's code. */
export async function askWrong(
  bench: DaemonBench,
  name: RouteName,
  status: number,
  parts: Parts = {},
): Promise<string> {
  const answer = await bench.ask(routes[name].method, pathOf(name, parts), parts.body);
  assert.equal(answer.status, status, answer.text);
  const { error } = answer.json as { error: { code: string } };
  conforms(ApiError, error);
  return error.code;
}

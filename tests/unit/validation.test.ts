/** What the API says of a request that does not fit: a sentence for people, a code for programs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import fc from "fast-check";
import { nameLike, validator } from "../../src/api/validation.js";
import type { Route } from "../../src/contract/basics.js";
import { LogsQuery, routes, VmAction, VmCreate, VmSet } from "../../src/contract/contract.js";
import { ExecRequest } from "../../src/contract/guest.js";
import { BangerError, type ErrorBody } from "../../src/lib/errors.js";
import { reached } from "../reached.js";

const create = { commandId: "12345678", spec: {}, start: true };

function refusalOf(schema: Parameters<typeof validator>[0], value: unknown, part: "body" | "query" = "body") {
  let body: ErrorBody | undefined;
  assert.throws(
    () => validator(schema, part)(value),
    (thrown) => {
      body = (thrown as BangerError).toBody();
      return thrown instanceof BangerError;
    },
  );
  return body as ErrorBody;
}

test("a name that cannot be is told with what it must be, and one like it that can", () => {
  for (const [name, like] of [
    ["My_Box", "my-box"],
    ["a.b", "a-b"],
    ["two words", "two-words"],
    ["é", "e"],
    ["-x-", "x"],
    ["", "box"],
    ["日本", "box"],
    ["a".repeat(64), "a".repeat(63)],
  ]) {
    const { code, message, hint } = refusalOf(VmCreate, { ...create, name });
    assert.equal(code, "name_invalid");
    assert.match(message, /^name cannot be ".*: it must be lowercase letters, digits and dashes/);
    assert.equal(hint, `--name ${like}`);
  }
  const both = refusalOf(VmCreate, { commandId: "12345678", name: "A_b" });
  assert.equal(both.code, "name_invalid", "what was given comes before what is missing");
});

test("what is made of a name is one that the contract takes", (t) => {
  const hit = reached(t, { kept: 15, changed: 12 });
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[a-z]{1,9}$/)), (text) => {
      hit(nameLike(text) === text ? "kept" : "changed");
      validator(VmCreate, "body")({ ...create, name: nameLike(text) });
      validator(routes.kernelImport.body, "body")({ name: nameLike(text), from: "/" });
    }),
  );
});

test("wrong fields are named as the API and the command line call them", () => {
  const says = (schema: Parameters<typeof validator>[0], value: unknown, message: RegExp, hint?: RegExp) => {
    const refusal = refusalOf(schema, value);
    assert.equal(refusal.code, "invalid_request");
    assert.match(refusal.message, message);
    assert.match(refusal.hint ?? "", hint ?? /openapi\.json/);
  };
  const spec = (fields: object) => ({ ...create, spec: fields });
  says(VmCreate, spec({ memory: "512M" }), /^spec has no field "memory"$/, /^memoryMiB \(--memory\)$/);
  says(VmCreate, spec({ "disk-size": 1 }), /^spec has no field "disk-size"$/, /^diskMiB \(--disk-size\)$/);
  says(VmCreate, { ...create, startt: true }, /^the body has no field "startt"$/, /^start$/);
  says(
    VmCreate,
    spec({ memoryMiB: "512M" }),
    /^memoryMiB \(--memory\) of spec cannot be "512M": .* whole number from 128 to/,
  );
  says(
    VmCreate,
    { ...create, commandId: "1" },
    /^commandId cannot be "1": it must be text of 8 to 64 characters$/,
  );
  says(VmCreate, { ...create, start: "yes" }, /^start cannot be "yes": it must be true or false$/);
  says(VmCreate, { spec: {} }, /^commandId is missing: it must be text/);
  says(VmCreate, [], /^the body cannot be \[\]: it must be an object$/);
  says(VmCreate, undefined, /^the body is missing/);
  says(VmSet, { refs: ["a"], spec: {} }, /^spec cannot be \{\}: it must be an object with something in it$/);
  says(VmAction, { action: "stop", refs: ["a", ""] }, /^refs\[1\] cannot be "": it must be text of 1 to 128/);
  says(VmAction, { action: "jump", refs: ["a"] }, /it must be "start" or "stop" or /);
  says(ExecRequest, { argv: ["a"], env: { A: 1 } }, /^A of env cannot be 1: it must be text$/);
  const query = refusalOf(LogsQuery, { tail: "x" }, "query");
  assert.match(query.message, /^tail cannot be "x": it must be a whole number from 0 to 1000000$/);
});

test("no refusal shows the words of the schema compiler, whatever was sent to whatever route", (t) => {
  const hit = reached(t, { refused: 50, "a field by its name": 10 });
  const schemas = (Object.values(routes) as Route[]).flatMap(({ body, query }) => [body, query]);
  const given = schemas.filter((schema) => schema !== undefined);
  const keysOf = (schema: TSchema) => Object.keys((schema["properties"] ?? {}) as object);
  const sending = fc.constantFrom(...given).chain((schema) => {
    const fields = fc.dictionary(fc.constantFrom(...keysOf(schema), "stray"), fc.jsonValue());
    return fc.tuple(fc.constant(schema), fc.oneof(fields, fc.jsonValue()));
  });
  fc.assert(
    fc.property(sending, ([schema, sent]) => {
      if (Value.Check(schema, sent)) return;
      hit("refused");
      if (/^\w+ .*cannot be/.test(refusalOf(schema, sent).message)) hit("a field by its name");
      const { message, hint } = refusalOf(schema, sent);
      assert.doesNotMatch(message, /Expected|Unexpected|undefined|body\/|\^\[/);
      assert.ok(hint !== undefined && message.length < 400, message);
    }),
  );
});

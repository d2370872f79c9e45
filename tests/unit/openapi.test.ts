/** The OpenAPI document: it has every route, refers to nothing that it does not hold, and is committed as it is. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { openApiText } from "../../docs/openapi.js";
import { routes } from "../../src/contract/contract.js";

const root = new URL("../../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
const { version } = JSON.parse(read("package.json")) as { version: string };
const text = openApiText(version);

interface Operation {
  operationId: string;
  parameters: { name: string; in: string; required: boolean }[];
  requestBody?: { content: object };
  responses: Record<string, { content?: object; $ref?: string }>;
}
interface Document {
  openapi: string;
  info: { version: string };
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, object>>;
}
const document = JSON.parse(text) as Document;
const operations = Object.values(document.paths).flatMap((path) => Object.values(path));

test("docs/openapi.json is what the contract makes of it", () => {
  assert.ok(read("docs/openapi.json") === text, "docs/openapi.json is stale: npm run docs");
  assert.deepEqual([document.openapi, document.info.version], ["3.1.0", version]);
});

test("every route is an operation with its parameters, its body and its replies", () => {
  assert.deepEqual(operations.map(({ operationId }) => operationId).sort(), Object.keys(routes).sort());
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const operation of Object.values(methods)) {
      const inPath = operation.parameters.filter((each) => each.in === "path").map(({ name }) => `{${name}}`);
      assert.deepEqual(inPath, path.match(/\{\w+\}/g) ?? [], path);
      assert.deepEqual(operation.responses["default"], { $ref: "#/components/responses/Error" });
      assert.equal(Object.keys(operation.responses).length, 2);
    }
  }
  const replay = document.paths["/v1/events/replay"]?.["get"]?.parameters;
  assert.deepEqual(
    replay?.map(({ name, required }) => [name, required]),
    [["until", true]],
  );
  assert.ok(document.paths["/v1/vms"]?.["post"]?.requestBody !== undefined);
  assert.ok("101" in (document.paths["/v1/vms/{ref}/exec"]?.["post"]?.responses ?? {}));
});

test("every reference leads to something, and views are referred to rather than repeated", () => {
  const references = [...text.matchAll(/"\$ref": "#\/components\/(\w+)\/(\w+)"/g)];
  for (const [whole, part, name] of references) {
    assert.ok(document.components[part as string]?.[name as string] !== undefined, whole);
  }
  const names = new Set(references.map(([, , name]) => name));
  for (const name of ["VmView", "VmSpec", "PortView", "ApiError", "ImageView"])
    assert.ok(names.has(name), name);
});

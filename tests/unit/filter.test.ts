/** Which VMs a filter means, and what a label may be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { filterOf, labelsOf } from "../../src/cli/base/filter.js";
import { vmView } from "../doubles/views.js";

const vms = [
  vmView({ name: "a1", phase: "running", labels: { task: "42", ci: "" } }),
  vmView({ name: "a2", phase: "stopped", labels: { task: "43" } }),
  vmView({ name: "b1", phase: "error", image: "debian-dev" }),
];
const meant = (...filters: string[]) =>
  vms
    .filter(filterOf(filters))
    .map(({ name }) => name)
    .join(" ");

test("values of one key are any of them, keys are all of them", () => {
  assert.equal(meant(), "a1 a2 b1");
  assert.equal(meant("label=task"), "a1 a2");
  assert.equal(meant("label=task=42"), "a1");
  assert.equal(meant("label=ci="), "a1");
  assert.equal(meant("state=running", "state=error"), "a1 b1");
  assert.equal(meant("state=running", "name=a*"), "a1");
  assert.equal(meant("image=debian-*"), "a1 a2 b1");
  assert.equal(meant("label=toString"), "");
  assert.equal(meant("name=."), "");
});

test("a filter that means nothing is refused rather than taken for one that lets everything pass", () => {
  for (const filter of ["", "state", "state=", "=x", "phase=running", "toString=x"])
    assert.throws(() => filterOf([filter]), { code: "usage" }, filter);
});

test("a label is a key and perhaps a value", () => {
  assert.deepEqual(labelsOf(["task=42", "ci", "a=b=c", "e="]), { task: "42", ci: "", a: "b=c", e: "" });
  for (const pair of ["=x", "a b=c", "-x=y", "a=\u0007", `${"k".repeat(200)}=v`])
    assert.throws(() => labelsOf([pair]), { code: "usage" }, pair);
});

/** What a container image says of its containers, for commands in a VM of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inContainer } from "../../src/api/container.js";

const image = {
  oci: {
    env: ["PATH=/opt/go/bin:/bin", "A=b=c", "EMPTY=", "none", "=x"],
    workingDirectory: "/srv",
    user: "1000:7",
  },
};

test("a command has the image's environment, directory and user, and what it says itself comes first", () => {
  const env = { PATH: "/opt/go/bin:/bin", A: "b=c", EMPTY: "" };
  assert.deepEqual(inContainer({ argv: ["go"] }, image), {
    argv: ["go"],
    env,
    start: "/srv",
    user: "1000:7",
  });
  const own = { argv: ["go"], cwd: "/root/repo", env: { A: "mine", B: "2" } };
  assert.deepEqual(inContainer(own, image), {
    ...own,
    env: { ...env, A: "mine", B: "2" },
    start: "/srv",
    user: "1000:7",
  });
});

test("an image that says nothing changes nothing", () => {
  for (const manifest of [null, {}, { oci: { env: [], workingDirectory: "", user: "" } }])
    assert.deepEqual(inContainer({ argv: ["x"] }, manifest), { argv: ["x"] });
  assert.deepEqual(inContainer({ argv: ["x"] }, { oci: { workingDirectory: "relative" } }), { argv: ["x"] });
});

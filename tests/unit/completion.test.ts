/** Completion: what the shells are told, with live names where a daemon runs and without starting one. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { homeHandles } from "../../src/home/handles.js";
import { homeFrom } from "../../src/host/home.js";
import { FakeApi, inTemporaryDirectory } from "../doubles/fake-api.js";
import { vmView } from "../doubles/views.js";

const bin = new URL("../../../bin", import.meta.url).pathname;

function environment(directory: string): NodeJS.ProcessEnv {
  const place = (name: string) => join(directory, name);
  const dirs = { XDG_STATE_HOME: place("s"), XDG_CONFIG_HOME: place("c"), XDG_RUNTIME_DIR: directory };
  return { ...process.env, ...dirs, PATH: `${bin}:${process.env["PATH"]}` };
}

const run = promisify(execFile);

async function words(directory: string, ...typed: string[]): Promise<string[]> {
  const env = environment(directory);
  const { stdout } = await run(join(bin, "banger"), ["__complete", "--", ...typed], { env });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.map((line) => line.split("\t")[0] ?? "");
}

test("commands, flags and values come without a daemon, and none is started", () =>
  inTemporaryDirectory(async (directory) => {
    assert.ok((await words(directory, "")).includes("vm"));
    assert.deepEqual(await words(directory, "vm", "st"), ["start", "stop", "stats"]);
    assert.ok(!(await words(directory, "")).includes("__complete"), "what is for programs is not shown");
    assert.deepEqual(await words(directory, "vm", "set", "box", "--nat", ""), ["on", "off"]);
    assert.deepEqual(await words(directory, "vm", "create", "--no-s"), ["--no-start"]);
    assert.deepEqual(await words(directory, "vm", "exec", "box", "--", "l"), [], "the guest's own words");
    assert.deepEqual(await words(directory, "vm", "stop", ""), []);
    assert.ok(!existsSync(join(directory, "s")), "nothing was made");
  }));

test("VMs and images come from the daemon that runs, but for those that stand talready present", () =>
  inTemporaryDirectory(async (directory) => {
    const home = homeFrom(environment(directory));
    mkdirSync(home.runtime, { recursive: true });
    const api = await FakeApi.listen(homeHandles(home).apiSocket);
    try {
      api.on("GET /v1/vms", () => [
        vmView(),
        vmView({ id: "1", name: "bolt" }),
        vmView({ id: "2", name: "ann" }),
      ]);
      api.on("GET /v1/images", () => [{ name: "debian-slim", phase: "ready" }]);
      assert.deepEqual(await words(directory, "vm", "stop", "bolt", "b"), ["box"]);
      assert.deepEqual(await words(directory, "events", "a"), ["ann"]);
      assert.deepEqual(await words(directory, "vm", "run", "--image", ""), ["debian-slim"]);
    } finally {
      await api.close();
    }
  }));

test("bash asks banger, and takes what it says", () =>
  inTemporaryDirectory(async (directory) => {
    const script =
      'eval "$(banger completion bash)"; COMP_WORDS=(banger vm res); COMP_CWORD=2; _banger; echo "${COMPREPLY[@]}"';
    const { stdout } = await run("bash", ["-c", script], { env: environment(directory) });
    assert.equal(stdout, "restart\n");
  }));

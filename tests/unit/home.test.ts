/** The home: XDG variables, socket length, and two homes side by side. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { vmHandles } from "../../src/handles.js";
import { addressBlock, homeFrom } from "../../src/home.js";

test("without XDG variables everything is below HOME", () => {
  const home = homeFrom({ HOME: "/home/ann" }, 1000);
  assert.equal(home.state, "/home/ann/.local/state/banger");
  assert.equal(home.data, "/home/ann/.local/share/banger");
  assert.equal(home.cache, "/home/ann/.cache/banger");
  assert.equal(home.config, "/home/ann/.config/banger");
  assert.equal(home.runtime, "/home/ann/.local/state/banger/run");
});

test("XDG variables win; relative and empty ones are ignored", () => {
  const env = {
    HOME: "/h",
    XDG_STATE_HOME: "/s/",
    XDG_DATA_HOME: "data",
    XDG_CACHE_HOME: "",
  };
  const home = homeFrom(env, 5);
  assert.equal(home.state, "/s/banger");
  assert.equal(home.data, "/h/.local/share/banger");
  assert.equal(home.cache, "/h/.cache/banger");
});

test("sockets fit into sun_path, or move to /tmp", () => {
  for (let depth = 1; depth <= 120; depth++) {
    const home = homeFrom({ HOME: "/h", XDG_STATE_HOME: `/${"s".repeat(depth)}` }, 4_294_967_294);
    const { agentSocket } = vmHandles(home, "12345678");
    assert.ok(Buffer.byteLength(agentSocket) <= 107, agentSocket);
    if (depth < 20) assert.ok(home.runtime.startsWith("/s"), home.runtime);
    if (depth > 100) assert.match(home.runtime, /^\/tmp\/banger-4294967294-[0-9a-f]{8}$/);
  }
});

test("where the session keeps its sockets is nothing to VMs, which outlive it", () => {
  const inSession = homeFrom({ HOME: "/home/ann", XDG_RUNTIME_DIR: "/run/user/1000" }, 1000);
  assert.deepEqual(inSession, homeFrom({ HOME: "/home/ann" }, 1000));
});

test("two state directories share neither sockets nor, as a rule, loopback block", () => {
  const homes = Array.from({ length: 200 }, (_, n) => homeFrom({ HOME: `/home/u${n}` }, 1000));
  assert.equal(new Set(homes.map(({ runtime }) => runtime)).size, homes.length);
  const blocks = homes.map(addressBlock);
  assert.ok(blocks.every((block) => Number.isInteger(block) && block >= 1 && block <= 254));
  assert.ok(new Set(blocks).size > 100);
});

test("no HOME and no XDG variables is an error that says so", () => {
  assert.throws(() => homeFrom({ HOME: "relative" }, 0), { code: "home_unknown" });
});

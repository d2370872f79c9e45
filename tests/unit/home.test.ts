/** The home: XDG variables, socket length, and two homes side by side. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemHome } from "../../src/home/handles.js";
import { addressBlock, homeFrom, placeFrom } from "../../src/host/home.js";

test("without XDG variables everything is below HOME", () => {
  const home = homeFrom({ HOME: "/home/ann" });
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
  const home = homeFrom(env);
  assert.equal(home.state, "/s/banger");
  assert.equal(home.data, "/h/.local/share/banger");
  assert.equal(home.cache, "/h/.cache/banger");
});

test("however deep the state directory is, sockets stay in it", () => {
  const state = `/${"s".repeat(120)}`;
  assert.equal(homeFrom({ HOME: "/h", XDG_STATE_HOME: state }).runtime, `${state}/banger/run`);
});

test("a home has one path, by whatever links it is reached and before it is made", (t) => {
  const directory = mkdtempSync(join(realpathSync(tmpdir()), "banger-home-"));
  t.after(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, "real"));
  symlinkSync("real", join(directory, "link"));
  symlinkSync("nowhere", join(directory, "dangling"));
  const stateAt = (base: string) => {
    const place = placeFrom({ HOME: directory, XDG_STATE_HOME: base, BANGER_MODE: "user" }, 1000);
    return place.home.state;
  };
  const wanted = `${directory}/real/banger`;
  const spellings = [`${directory}/link`, `${directory}/real/../link`, `${directory}//real/.`];
  for (const base of spellings) assert.equal(stateAt(base), wanted);
  mkdirSync(wanted);
  for (const base of spellings) assert.equal(stateAt(base), wanted);
  assert.equal(stateAt(`${directory}/link/new/deep`), `${directory}/real/new/deep/banger`);
  assert.equal(stateAt(`${directory}/dangling`), `${directory}/dangling/banger`);
});

test("where the session keeps its sockets is nothing to VMs, which outlive it", () => {
  const inSession = homeFrom({ HOME: "/home/ann", XDG_RUNTIME_DIR: "/run/user/1000" });
  assert.deepEqual(inSession, homeFrom({ HOME: "/home/ann" }));
});

test("two state directories share neither sockets nor, as a rule, loopback block", () => {
  const homes = Array.from({ length: 200 }, (_, n) => homeFrom({ HOME: `/home/u${n}` }));
  assert.equal(new Set(homes.map(({ runtime }) => runtime)).size, homes.length);
  const blocks = homes.map(addressBlock);
  assert.ok(blocks.every((block) => Number.isInteger(block) && block >= 1 && block <= 254));
  assert.ok(new Set(blocks).size > 100);
});

test("no HOME and no XDG variables is an error that says so", () => {
  assert.throws(() => homeFrom({ HOME: "relative" }), { code: "home_unknown" });
});

test("system mode's home is its owner's, and root's on demand; everybody else has one of their own", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "banger-home-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const metadata = join(directory, "install.json");
  const home = systemHome("/home/ann/.config/banger");
  const users = { mode: "user", home: homeFrom({ HOME: "/home/ann" }) };
  const place = (uid: number, BANGER_MODE?: string) =>
    placeFrom({ HOME: "/home/ann", BANGER_MODE }, uid, metadata);
  assert.deepEqual(place(1000), users);
  assert.throws(() => place(1000, "system"), { code: "system_not_installed" });
  const network = { address: "172.16.0.1", prefixLength: 24 };
  const installed = { owner: { uid: 1000 }, home, network, firecracker: null };
  const system = { mode: "system", home, installed };
  writeFileSync(metadata, JSON.stringify({ ...installed, version: "1" }));
  assert.deepEqual(place(1000), system);
  assert.deepEqual(place(1000, ""), system);
  assert.deepEqual(place(1000, "user"), users);
  assert.deepEqual(place(1001), users);
  assert.equal(place(0).mode, "user");
  assert.deepEqual(place(0, "system"), system);
  assert.throws(() => place(1000, "root"), { code: "mode_unknown" });
  writeFileSync(metadata, "{");
  assert.throws(() => place(1000), { code: "system_damaged" });
  assert.deepEqual(place(1000, "user"), users);
});

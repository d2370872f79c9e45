/** Who may import whom: data goes one way round the circle, deciding stays pure, the CLI stays light. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Import, importsOf, typescript } from "./sources.js";

const imports = typescript("src", "helper").flatMap(importsOf);

const show = (list: readonly Import[]) => list.map(({ from, to }) => `${from} imports ${to}`);
/** The importers of what matches, but for those that are allowed to. */
const strangers = (target: RegExp, allowed: RegExp) =>
  show(imports.filter(({ from, to }) => target.test(to) && !allowed.test(from)));

const pureFiles = [
  "addresses|decide|disk-growth|events|explain|handles|ipv4|labels|model|names",
  "notice|openapi|plan|projection|recovery|room|telling|unlisted",
].join("|");
const pure = new RegExp(`^src/(machines/|reconcilers/|(${pureFiles})\\.ts)`);

test("what decides is pure: it imports nothing but its like, errors, and the two libraries that it is written in", () => {
  const allowed = /^(src\/(machines\/.*|reconcilers\/.*|errors\.ts|sizes\.ts|suggest\.ts)|immer|xstate)$/;
  const wrong = imports.filter(
    ({ from, to, typeOnly }) =>
      pure.test(from) &&
      !pure.test(to) &&
      !allowed.test(to) &&
      !(typeOnly && /contract(-basics)?\.ts$|typebox$/.test(to)),
  );
  assert.deepEqual(show(wrong), []);
});

test("machines, reconcilers, decide and fold know no words for people and no plan", () => {
  const core = /^src\/(machines\/|reconcilers\/|(decide|notice|projection)\.ts)/;
  const wrong = imports.filter(
    ({ from, to }) => core.test(from) && /(explain|openapi|plan|names|sizes)\.ts$/.test(to),
  );
  assert.deepEqual(show(wrong), []);
});

test("only the log knows SQLite", () => {
  assert.deepEqual(strangers(/^better-sqlite3$/, /^src\/log.*\.ts$/), []);
});

test("only the API knows Fastify, and the daemon the type of its server", () => {
  assert.deepEqual(strangers(/^fastify$/, /^src\/(api\/|daemon\.ts)/), []);
});

test("nothing imports the loop, the daemon or the entry points, but what wires them", () => {
  assert.deepEqual(strangers(/^src\/loop\.ts$/, /^src\/daemon\.ts$/), []);
  assert.deepEqual(strangers(/^src\/daemon\.ts$/, /^src\/daemon-main\.ts$/), []);
  assert.deepEqual(strangers(/^src\/(daemon-main|cli\/start)\.ts$/, /^$/), []);
});

test("nothing but the CLI imports the CLI", () => {
  assert.deepEqual(strangers(/^src\/cli\//, /^src\/cli\//), []);
});

test("only observing and performing reach the drivers; the API, the loop and what decides never do", () => {
  const wiring = /^src\/(effects\/|observe\.ts|daemon-main\.ts|doctor|images\/|system\/|cli\/system\.ts)/;
  assert.deepEqual(strangers(/^src\/effects\//, wiring), []);
  // What builds images runs tools and publishes files as the drivers do, and uses their building blocks only.
  const blocks =
    /^src\/effects\/(host-certificates|host-error|image-store|image-use|proc|publish|remove-tree|run-tool|wait)\.ts$/;
  const wrong = imports.filter(
    ({ from, to }) => from.startsWith("src/images/") && to.startsWith("src/effects/") && !blocks.test(to),
  );
  assert.deepEqual(show(wrong), []);
});

test("the helper imports nothing of the daemon's but handles, the types of the model, time, addresses and mounts", () => {
  const wrong = imports.filter(
    ({ from, to }) =>
      from.startsWith("helper/") &&
      to.startsWith("src/") &&
      !/^src\/(handles|model|clock|deadline|ipv4|mounts)\.ts$/.test(to),
  );
  assert.deepEqual(show(wrong), []);
});

test("who installs the helper judges by the helper's own gates, and knows none of its methods", () => {
  const allowed = /^helper\/(contract|metadata|refusal|tools|trusted)\.ts$/;
  const wrong = imports.filter(
    ({ from, to }) => from.startsWith("src/system/") && to.startsWith("helper/") && !allowed.test(to),
  );
  assert.deepEqual(show(wrong), []);
});

test("the daemon knows of the helper nothing but the types of its contract", () => {
  const wrong = imports.filter(
    ({ from, to, typeOnly }) =>
      /^src\/(?!system\/)/.test(from) &&
      to.startsWith("helper/") &&
      !(typeOnly && to === "helper/contract.ts"),
  );
  assert.deepEqual(show(wrong), []);
});

test("every command of the CLI starts light: no schema compiler, no machine, no server, no database", () => {
  const loaded = new Set(["src/cli/main.ts"]);
  const packages = new Set<string>();
  for (const path of loaded) {
    for (const { to, typeOnly, dynamic } of importsOf(path)) {
      if (typeOnly || dynamic) continue;
      if (to.startsWith("src/")) loaded.add(to);
      else if (!to.startsWith("node:")) packages.add(to);
    }
  }
  assert.ok(loaded.size > 10, `${loaded.size} files`);
  const heavy = /typebox|fastify|better-sqlite3|xstate|immer|pino|tar$/;
  assert.deepEqual(
    [...packages].filter((name) => heavy.test(name)),
    [],
  );
  assert.ok(!loaded.has("src/contract.ts"));
});

test("no file imports itself by a roundabout way", () => {
  const next = new Map<string, string[]>();
  for (const { from, to, typeOnly, dynamic } of imports) {
    if (!typeOnly && !dynamic && to.startsWith("src/")) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    assert.ok(!trail.includes(path), [...trail, path].join(" → "));
    if (done.has(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
});

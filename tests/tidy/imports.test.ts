/** The architecture: the rooms of `src/` from the ground up, and which packages each may use. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { type Import, importsOf, read, typescript } from "./sources.js";

/** A room imports from itself and from rooms before it; a longer name is a room within a room. */
const rooms = [
  "lib",
  "model",
  "contract",
  "home",
  "machines",
  "reconcilers",
  "core",
  "host",
  "guest",
  "dns",
  "workspace",
  "ext4",
  "oci",
  "config",
  "client",
  "log",
  "images",
  "loop",
  "effects",
  "api",
  "daemon",
  "doctor",
  "system",
  "cli",
];

/** Rooms that decide: they do no I/O, so they import no module of Node's, and these packages only. */
const pure = ["model", "contract", "home", "machines", "reconcilers", "core"];
const purePackages = /^(immer|xstate|@sinclair\/typebox)$/;

/** Packages that belong to one room. */
const owners: Readonly<Record<string, readonly string[]>> = {
  "better-sqlite3": ["log"],
  fastify: ["api", "daemon"],
};

/** What breaks the order all the same, as "from imports to", and why. */
const exceptions: Readonly<Record<string, string>> = {};

/** Files that import each other by a roundabout way. */
const circles: readonly (readonly string[])[] = [
  // Completion is a command, and completes all commands.
  ["src/cli/complete.ts", "src/cli/tree.ts"],
];

const imports = typescript("src", "helper").flatMap(importsOf);
const roomOf = (path: string): string => path.split("/")[1] ?? "";
const show = ({ from, to }: Pick<Import, "from" | "to">) => `${from} imports ${to}`;
const ours = imports.filter(({ from, to }) => from.startsWith("src/") && to.startsWith("src/"));

test("every file of src is in a room of the list, and every room has files", () => {
  const found = new Set(typescript("src").map(roomOf));
  assert.deepEqual([...found].sort(), [...rooms].sort());
});

test("no file imports from a room that comes after its own, not even a type", () => {
  const up = ours.filter(({ from, to }) => rooms.indexOf(roomOf(to)) > rooms.indexOf(roomOf(from)));
  assert.ok(ours.length > 500, `${ours.length} imports`);
  assert.deepEqual(
    up.map(show).filter((each) => !(each in exceptions)),
    [],
  );
  assert.deepEqual(
    Object.keys(exceptions).filter((each) => !up.map(show).includes(each)),
    [],
  );
});

test("what decides is pure: no module of Node's, and no package but those that it is written in", () => {
  const wrong = imports.filter(
    ({ from, to }) =>
      from.startsWith("src/") &&
      pure.includes(roomOf(from)) &&
      !to.startsWith("src/") &&
      !purePackages.test(to),
  );
  assert.deepEqual(wrong.map(show), []);
});

test("a package that belongs to a room is used there only", () => {
  for (const [name, allowed] of Object.entries(owners)) {
    const users = imports.filter(({ to }) => to === name);
    assert.ok(users.length > 0, name);
    assert.deepEqual(users.filter(({ from }) => !allowed.includes(roomOf(from))).map(show), []);
  }
});

test("the helper imports of src only the pure rooms, time and the mounts", () => {
  const allowed = new RegExp(`^src/((${pure.join("|")})/|lib/(clock|deadline)\\.ts|host/mounts\\.ts)`);
  const wrong = imports.filter(
    ({ from, to }) => from.startsWith("helper/") && to.startsWith("src/") && !allowed.test(to),
  );
  assert.deepEqual(wrong.map(show), []);
});

test("who installs the helper judges by the helper's own gates; everyone else knows the types of its contract", () => {
  const gates = /^helper\/(contract|metadata|refusal|tools|trusted)\.ts$/;
  const wrong = imports.filter(
    ({ from, to, typeOnly }) =>
      from.startsWith("src/") &&
      to.startsWith("helper/") &&
      !(roomOf(from) === "system" ? gates.test(to) : typeOnly && to === "helper/contract.ts"),
  );
  assert.deepEqual(wrong.map(show), []);
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
  assert.ok(!loaded.has("src/contract/contract.ts"));
});

/** Which Firecracker and jailer system mode is installed with goes by the version that banger can use. */
const installer = "src/system/vmm-programs.ts";

test("a VMM is known to nobody but the line that names it: a third is a folder and a line", () => {
  const folderOf = (path: string) => /^src\/effects\/vmm\/(\w+)\//.exec(path)?.[1];
  const outside = ours.filter(
    ({ from, to }) => folderOf(to) !== undefined && folderOf(from) !== folderOf(to),
  );
  const named = ["firecracker", "qemu"].map(
    (kind) => `src/daemon/vmms.ts imports src/effects/vmm/${kind}/${kind}.ts`,
  );
  const installs = `${installer} imports src/effects/vmm/firecracker/version.ts`;
  assert.deepEqual(outside.map(show).sort(), [...named, installs].sort());
});

/** What the configuration says is judged by who installs Firecracker, and by the doctor. */
const judges = ["src/doctor/system.ts", installer];

test("nobody asks which kind of VMM runs a VM", () => {
  const asks = typescript("src")
    .filter((path) => !path.startsWith("src/effects/vmm/"))
    .filter((path) => /[!=]== "(qemu|firecracker)"|case "(qemu|firecracker)"/.test(read(path)));
  assert.deepEqual(asks, judges);
});

test("no two folders import each other", () => {
  const arrows = new Set(ours.map(({ from, to }) => `${dirname(from)} ${dirname(to)}`));
  const both = [...arrows]
    .map((arrow) => arrow.split(" ") as [string, string])
    .filter(([from, to]) => from < to && arrows.has(`${to} ${from}`))
    .map(([from, to]) => `${from} and ${to}`);
  assert.deepEqual(both, []);
});

test("no file imports itself by a roundabout way, types and dynamic imports counted", () => {
  const next = new Map<string, Set<string>>();
  for (const { from, to } of ours) next.set(from, (next.get(from) ?? new Set()).add(to));
  const reach = (start: string): Set<string> => {
    const found = new Set<string>();
    for (const queue = [start]; queue.length > 0; ) {
      for (const to of next.get(queue.pop() as string) ?? [])
        if (!found.has(to)) queue.push(to), found.add(to);
    }
    return found;
  };
  const reached = new Map([...next.keys()].map((path) => [path, reach(path)]));
  const found = new Set<string>();
  for (const [path, all] of reached) {
    if (!all.has(path)) continue;
    found.add(
      [...all]
        .filter((each) => reached.get(each)?.has(path))
        .sort()
        .join(" "),
    );
  }
  assert.deepEqual([...found].sort(), circles.map((each) => each.join(" ")).sort());
});

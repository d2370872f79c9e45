/** Sentences, histories and the reasons behind a state, on the log of tests/histories; docs/events.md. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import Database from "better-sqlite3";
import { history, pauseText, sentence, why } from "../../src/core/explain.js";
import { fold, initialState } from "../../src/core/projection.js";
import { type RawEvent, type StoredEvent, schemaVersions, upcast } from "../../src/model/events.js";
import type { Vm } from "../../src/model/model.js";
import { reached } from "../reached.js";

const repository = new URL("../../../", import.meta.url);
const textOf = (path: string): string => readFileSync(new URL(path, repository), "utf8");

/** Every event of a fixture, archived ones included. */
function fixture(name: string): StoredEvent[] {
  const db = new Database(":memory:");
  db.exec(textOf(`tests/histories/${name}.sql`));
  const rows = db.prepare("SELECT * FROM events UNION SELECT * FROM archived_events ORDER BY seq").all();
  db.close();
  return (rows as (RawEvent & { data: string })[]).map((row) =>
    upcast({ ...row, data: JSON.parse(row.data) }),
  );
}

const events = fixture("v1");
const state = fold(initialState, events);
const of = (id: string) => events.filter(({ stream }) => stream === `vm/${id}`);
const whyOf = (id: string, own = of(id)) => why(fold(initialState, own).vms[id] as Vm, own);

const later = ["v1-2", "v1-4", "v1-5", "v1-tries", "v1-found", "v1-booted", "v1-host", "v1-net"];
const all = [...events, ...later.flatMap(fixture)];

test("the fixtures have every type of event, and each has a sentence", () => {
  const types = new Set(all.map(({ type }) => type));
  assert.deepEqual([...types].sort(), Object.keys(schemaVersions).sort());
  for (const event of all) {
    const text = sentence(event);
    assert.match(text, /^[A-Z0-9a-z].*[^.]\.$/, text);
    assert.doesNotMatch(text, /undefined|\[object|NaN|ensure[A-Z]/, text);
  }
});

/** Of the same noun: what an image's event says stands beside the image's name. */
const kindOf = ({ type }: StoredEvent): string => type.slice(0, type.indexOf("."));

test("two events of different types never read the same", () => {
  const told = new Map<string, string>();
  for (const event of all) {
    const text = `${kindOf(event)}: ${sentence(event)}`;
    assert.equal(told.get(text) ?? event.type, event.type, text);
    told.set(text, event.type);
  }
  assert.ok(told.size >= Object.keys(schemaVersions).length, `${told.size} sentences`);
});

/** Fields that no sentence tells: they are for programs, or another event tells them. */
const untold: Readonly<Record<string, readonly string[]>> = {
  "vm.created": ["vmId", "addressIndex", "commandId", "labels"],
  "vm.restart_requested": ["bootTimeoutMs"],
  "vm.process_exited": ["reason"],
  "image.pull_requested": ["imageId", "source"],
  "image.found": ["imageId", "name", "source", "builtAt"],
  "log.stream_archived": ["lastAddressIndex"],
};
/** Of an error the message is told; whether it is retried only where that is not settled. */
const untoldOfErrors = ["code", "hint", "retry"];

/** Words of which there are no others. */
const closed: readonly (readonly string[])[] = [["up", "unsaid"], Object.keys(pauseText)];

/** A value that people would call another one. */
function other(value: unknown): unknown {
  const words = closed.find((list) => list.includes(value as string));
  if (words !== undefined) return words.find((word) => word !== value);
  if (typeof value === "number") return value * 3 + 120_000_000;
  if (typeof value === "boolean") return !value;
  return `${value} other`;
}

/** The data with one of its plain values changed, each by its path. */
function* changed(data: object): Iterable<[path: string, data: object]> {
  for (const [name, value] of Object.entries(data)) {
    if (typeof value !== "object" || value === null) yield [name, { ...data, [name]: other(value) }];
    else for (const [path, inner] of changed(value)) yield [`${name}.${path}`, { ...data, [name]: inner }];
  }
}

test("two events that tell different things of their VM or image do not read the same", (t) => {
  const hit = reached(t, { told: 60 });
  for (const event of all) {
    const silent = [...(untold[event.type] ?? []), ...("message" in event.data ? untoldOfErrors : [])];
    for (const [path, data] of changed(event.data)) {
      if (silent.includes(path.split(".")[0] ?? "")) continue;
      // There is one way to reboot.
      if (event.type === "vm.process_exited" && event.data.reason === "reboot") continue;
      const name = `${event.type} with another ${path}`;
      assert.notEqual(sentence({ ...event, data } as StoredEvent), sentence(event), name);
      hit("told");
    }
  }
});

test("each way for a VMM to end, and each cause of a pause, reads differently", () => {
  const exited = of("00000002").find(({ type }) => type === "vm.process_exited") as StoredEvent;
  const ends = ["asked", "guest", "reboot", "panic", "lost"].map((reason) =>
    sentence({ ...exited, data: { reason, detail: "the same" } } as StoredEvent),
  );
  assert.equal(new Set(ends).size, ends.length, ends.join("\n"));
  const pauses = Object.values(pauseText);
  assert.equal(new Set(pauses).size, pauses.length, pauses.join("\n"));
});

test("a VMM that was killed from outside is told from there back to the request", () => {
  assert.deepEqual(whyOf("00000002"), [
    "brisk-otter is stopped since 2026-01-02 12:02:54 UTC: " +
      "its VMM process exited unexpectedly (killed by SIGKILL).",
    "It had been running since 12:01:52 UTC: its guest answered (agent 0.1.0).",
    "It had been starting since 12:01:41 UTC: a client asked for a start (it fails after 3m).",
    "That was asked for by request r6.",
  ]);
});

test("a failed start names its step, and the client that asked for it", () => {
  assert.deepEqual(whyOf("00000003"), [
    "calm-crane is in error since 2026-01-02 12:03:29 UTC: its start failed at the disk step: no space left.",
    "It had been starting since 12:03:28 UTC: a client asked for a start (it fails after 3m).",
    "That was asked for by request r11.",
  ]);
});

test("what has happened since the present phase began is told", () => {
  const own = of("00000002").filter(({ type }) => type !== "vm.process_exited");
  assert.deepEqual(whyOf("00000002", own).slice(1, 3), [
    "Since then, at 12:01:53 UTC: forwarding a port failed and will be retried: 127.77.0.2:80 is taken.",
    "Since then, at 12:01:54 UTC: a new daemon found its VMM process (pid 4242) and took it over.",
  ]);
});

test("a cause in another stream does not break the chain, and the chain always ends", () => {
  const vm = state.vms["00000002"] as Vm;
  const strayed = of("00000002").map((event) => ({ ...event, cause: "event:1" }) as StoredEvent);
  const chain = why(vm, strayed);
  assert.match(chain.at(-1) ?? "", /^It had been stopped since .*: it was created as brisk-otter/);
  const looped = of("00000002").map((event) => ({ ...event, cause: `event:${event.seq}` }) as StoredEvent);
  assert.equal(why(vm, looped).length, chain.length);
  assert.deepEqual(why(vm, []), ["brisk-otter is stopped; the log has no event about it."]);
});

test("a history has each event with how long it lasted", () => {
  const entries = history(of("00000002"));
  assert.equal(entries.length, 9);
  assert.deepEqual(entries[4]?.durationMs, 8000);
  assert.equal(entries.at(-1)?.durationMs, null);
  const [first, second] = of("00000002") as [StoredEvent, StoredEvent];
  assert.equal(history([{ ...first, at: second.at + 5 }, second])[0]?.durationMs, 0, "a clock set back");
});

test("docs/events.md has every event with its schema and each field of its data", () => {
  const rows = textOf("docs/events.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").map((cell) => cell.trim()));
  const documented = Object.fromEntries(
    rows.map(([, type, schema]) => [type?.replaceAll("`", ""), Number(schema)]),
  );
  assert.deepEqual(documented, { ...schemaVersions });
  const ofErrorBody = ["code", "message", "hint", "retry"];
  for (const event of events) {
    const data = rows.find(([, type]) => type === `\`${event.type}\``)?.[3] ?? "";
    const fields = Object.keys(event.data).filter(
      (name) => !(data.includes("ErrorBody") && ofErrorBody.includes(name)),
    );
    for (const name of fields) assert.ok(data.includes(`\`${name}\``), `${event.type}: ${name}`);
    if (fields.length === 0 && !data.includes("ErrorBody")) assert.equal(data, "–", event.type);
  }
});

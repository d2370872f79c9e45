/** Sizes and durations: what is read, what is refused, and that what is written reads back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatBytes, formatDuration, formatSize, parseDuration, parseSize } from "../../src/lib/sizes.js";
import { reached } from "../reached.js";

test("sizes are read as MiB", () => {
  const cases = {
    "512M": 512,
    "4G": 4096,
    "4GiB": 4096,
    "4gib": 4096,
    "1024": 1024,
    "1.5G": 1536,
    "16T": 2 ** 24,
  };
  for (const [text, mib] of Object.entries(cases)) assert.equal(parseSize(text), mib, text);
});

test("negative, zero, absurd, fractional and unknown sizes are refused", () => {
  for (const text of [
    "-1",
    "-4G",
    "0",
    "0G",
    "17T",
    "99999999999999999999G",
    "0.3M",
    "1.0001G",
    "4X",
    "",
    "G",
    "4 G",
    "1e3",
  ]) {
    assert.throws(() => parseSize(text), { code: "bad_size" }, text);
  }
});

test("any size that is written reads back", (t) => {
  const hit = reached(t, { whole: 5, odd: 20 });
  assert.equal(formatSize(0), "0M");
  const some = fc.integer({ min: 1, max: 2 ** 24 });
  const size = fc.oneof(
    some,
    fc.integer({ min: 1, max: 2 ** 14 }).map((gib) => gib * 1024),
  );
  fc.assert(
    fc.property(size, (mib) => {
      hit(mib % 1024 === 0 ? "whole" : "odd");
      assert.equal(parseSize(formatSize(mib)), mib);
    }),
  );
});

test("durations are read as milliseconds", () => {
  const cases = {
    "500ms": 500,
    "90s": 90_000,
    "10m": 600_000,
    "2h": 7_200_000,
    "1d": 86_400_000,
    "1h30m": 5_400_000,
  };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms, text);
});

test("durations without a unit, negative or endless ones are refused", () => {
  for (const text of ["", "10", "-5m", "5 minutes", "m", "3651d", "1.2.3s"]) {
    assert.throws(() => parseDuration(text), { code: "bad_duration" }, text);
  }
});

test("durations are written for people", () => {
  const cases: [number, string][] = [
    [0, "0ms"],
    [350, "350ms"],
    [2400, "2.4s"],
    [12_345, "12s"],
    [59_600, "1m"],
    [200_000, "3m20s"],
    [7_200_000, "2h"],
    [7_205_000, "2h"],
    [100_800_000, "1d4h"],
  ];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
});

test("what is measured is rounded, in the units in which sizes are given", () => {
  const miB = 1 << 20;
  const texts = [0, 412 * miB, 999 * miB, 1000 * miB, 1351 * miB, 8192 * miB, 2.5 * 1024 * 1024 * miB].map(
    formatBytes,
  );
  assert.deepEqual(texts, ["0M", "412M", "999M", "1G", "1.3G", "8G", "2.5T"]);
});

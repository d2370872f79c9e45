/** How files look: their size, their first sentence, the length of lines and functions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linesOf, paths, read, typescript } from "./sources.js";

const ours = typescript("src", "helper", "tests", "bench", "docs");
const c = [...paths("guest-agent"), ...paths("helper/launcher"), ...paths("helper/net")].filter((path) =>
  /\.[ch]$/.test(path),
);

/** Longer than 300 lines for a reason. */
const longer: Readonly<Record<string, { lines: number; because: string }>> = {
  "tests/unit/log.test.ts": { lines: 360, because: "every promise of the log in one place" },
};

test("a file has at most 300 lines: past that it has two subjects", () => {
  const long: string[] = [];
  for (const path of [...ours, ...c]) {
    const { length } = linesOf(path);
    if (length > (longer[path]?.lines ?? 300)) long.push(`${path} has ${length} lines`);
  }
  assert.deepEqual(long, []);
  for (const path of Object.keys(longer))
    assert.ok(linesOf(path).length > 300, `${path} is an exception no more`);
});

test("a file opens with a sentence on its role", () => {
  for (const path of ours) assert.match(read(path), /^(#!.*\n)?\/\*\*[\s*]+[A-Z0-9`<"][^*]+[.:]/, path);
  for (const path of c) assert.match(read(path), /^\/\*[\s*]+[^*]+\./, path);
});

// Biome keeps code to 110; what it does not break may be a little longer rather than torn.
test("a line has at most 125 columns, even where it is a comment, a text or C", () => {
  const long: string[] = [];
  for (const path of [...ours, ...c]) {
    for (const [index, line] of linesOf(path).entries()) {
      if ([...line].length > 125) long.push(`${path}:${index + 1} has ${[...line].length} columns`);
    }
  }
  assert.deepEqual(long, []);
});

/** Ends with an opening brace, and begins a function rather than a block, a type or a suite of tests. */
const opensFunction = (line: string): boolean =>
  /(=> \{|\) \{|\): [^=]*\{)$/.test(line) &&
  !/^\s*(\} )?(if|for|while|switch|else|catch|do|try)\b|\b(describe|interface|class)\b/.test(line);

test("a function has at most 70 lines", () => {
  const long: string[] = [];
  for (const path of ours) {
    const lines = linesOf(path);
    for (const [index, line] of lines.entries()) {
      if (!opensFunction(line)) continue;
      const indent = /^\s*/.exec(line)?.[0] ?? "";
      const end = lines.findIndex((each, at) => at > index && each.startsWith(`${indent}}`));
      if (end - index >= 70) long.push(`${path}:${index + 1} is ${end - index + 1} lines long`);
    }
  }
  assert.deepEqual(long, []);
});

test("comments tell no history, and no section has a banner", () => {
  const found: string[] = [];
  for (const path of [...ours, ...c]) {
    for (const [index, line] of linesOf(path).entries()) {
      const comment = /(?:\/\/|\/\*|^\s*\*)\s?(.*)$/.exec(line)?.[1] ?? "";
      if (/^([-=#*~])\1{3,}|\b(TODO|FIXME|XXX|HACK)\b/.test(comment))
        found.push(`${path}:${index + 1}: ${comment}`);
    }
  }
  assert.deepEqual(found, []);
});

/** Names that collide under one key do not under another, so that nobody can choose them beforehand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedHash } from "../../src/ext4/keyed-hash.js";

const slot = (hash: KeyedHash, name: string) => hash.of(7, name) & 0xfff;

test("what falls into one place under a key is spread under the next", () => {
  const known = new KeyedHash(Buffer.from("0123456789abcdef", "hex"));
  const names: string[] = [];
  for (let n = 0; names.length < 64; n++) if (slot(known, `name-${n}`) === 0) names.push(`name-${n}`);
  const drawn = new KeyedHash();
  const places = new Set(names.map((name) => slot(drawn, name)));
  assert.ok(places.size > 50, `${places.size} of 64 places`);
});

test("number, text and length count, each of their bits", () => {
  const hash = new KeyedHash(Buffer.alloc(8, 1));
  const inputs: [number, string][] = [];
  for (const number of [1, 2, 2 ** 31, 2 ** 32 - 1])
    for (const text of [
      "",
      "\0",
      "\0\0",
      "a",
      "b",
      "ab",
      "ba",
      "abcd",
      "abcde",
      "abcd\0",
      "\xff".repeat(255),
    ])
      inputs.push([number, text]);
  const hashes = new Set(inputs.map(([number, text]) => hash.of(number, text)));
  assert.equal(hashes.size, inputs.length);
  assert.equal(hash.of(1, "ab"), hash.of(1, "ab"));
});

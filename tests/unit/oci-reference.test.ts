/** Names of images: read as their parts say, refused by name, and the same again when they are written in full. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BangerError } from "../../src/lib/errors.js";
import { formatReference, parseReference } from "../../src/oci/reference.js";
import { reached } from "../reached.js";

const numRuns = Number(process.env.FUZZ_CASES ?? 200);

/** A reference in parts, any of which may be left out but the path. */
const inParts = fc.record({
  host: fc.constantFrom(
    undefined,
    "docker.io",
    "index.docker.io",
    "ghcr.io",
    "localhost",
    "localhost:5000",
    "[::1]:80",
  ),
  path: fc.array(fc.constantFrom("a", "dev", "x--y", "a_b", "n0"), { minLength: 1, maxLength: 3 }),
  tag: fc.constantFrom(undefined, "1", "v1.2-rc_3", "Latest"),
  digest: fc.constantFrom(undefined, `sha256:${"a".repeat(64)}`, `sha512:${"0".repeat(128)}`),
});

test("a reference put together from parts is read as those parts, with Docker's defaults for what is left out", (t) => {
  const hit = reached(t, {
    host: numRuns / 4,
    "Docker's own": numRuns / 25,
    tag: numRuns / 4,
    digest: numRuns / 4,
  });
  fc.assert(
    fc.property(inParts, ({ host, path, tag, digest }) => {
      const named = [...(host === undefined ? [] : [host]), ...path].join("/");
      const text = `${named}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
      const own = host === undefined || host.endsWith("docker.io");
      assert.deepEqual(parseReference(text), {
        registry: own ? "docker.io" : host,
        repository: own && path.length === 1 ? `library/${path[0]}` : path.join("/"),
        tag: tag ?? "latest",
        digest,
      });
      hit(host === undefined ? "Docker's own" : "host");
      if (tag !== undefined) hit("tag");
      if (digest !== undefined) hit("digest");
    }),
    { numRuns },
  );
});

test("any text is refused, or read and written so that it reads the same again", (t) => {
  const hit = reached(t, { read: numRuns / 5, refused: numRuns / 2 });
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-z.:@/-]{1,30}$/));
  fc.assert(
    fc.property(text, (given) => {
      try {
        const full = formatReference(parseReference(given));
        assert.equal(formatReference(parseReference(full)), full);
        assert.ok(!full.split(/[/:@]/).includes(".."), full);
        hit("read");
      } catch (error) {
        if (!(error instanceof BangerError)) throw error;
        hit("refused");
      }
    }),
    { numRuns: numRuns * 10 },
  );
  for (const [given, full] of [
    ["debian", "docker.io/library/debian:latest"],
    ["acme/dev:1", "docker.io/acme/dev:1"],
    ["localhost/dev", "localhost/dev:latest"],
    ["localhost:5000/dev:1", "localhost:5000/dev:1"],
    ["ghcr.io/acme/dev/sub:v1.2", "ghcr.io/acme/dev/sub:v1.2"],
    ["[::1]:5000/dev", "[::1]:5000/dev:latest"],
    [`a/b:tag@sha256:${"a".repeat(64)}`, `docker.io/a/b@sha256:${"a".repeat(64)}`],
  ])
    assert.equal(formatReference(parseReference(given as string)), full);
  for (const given of [
    "",
    "a/B",
    "a//b",
    "a:",
    "a@b",
    "a@sha256:12",
    "-a",
    "a/../b",
    "http://a/b",
    "a.b#c/x",
    "a.b?c/x",
    "a..b/x",
    "1:2:3/x",
  ])
    assert.throws(() => parseReference(given), { code: "reference_invalid" }, given);
});

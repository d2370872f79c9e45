/** The catalog says what it must, and an image's id changes with everything that its content depends on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseImageDirectory } from "../../src/home/handles.js";
import {
  fingerprint,
  imageIdOf,
  packagesFor,
  type ResolvedRecipe,
  readCatalog,
  readGuestFiles,
  resolveImage,
} from "../../src/images/catalog.js";
import { parseCatalog } from "../../src/images/catalog-schema.js";
import { BangerError } from "../../src/lib/errors.js";

const resolveRecipe = (name: string) => resolveImage(name) as Promise<ResolvedRecipe>;
const code = (expected: string) => (error: unknown) =>
  error instanceof BangerError && error.code === expected;

test("the catalog of this program is valid and its recipes resolve", async () => {
  const { images } = await readCatalog();
  assert.ok(images.some(({ name }) => name === "debian-slim"));
  for (const { name } of images) {
    const resolved = await resolveRecipe(name);
    assert.deepEqual(parseImageDirectory(resolved.imageId), { id: resolved.imageId, partial: false });
  }
});

test("a recipe's shell puts the files of every guest into the tree, as catalog/guest has them", async () => {
  const files = await readGuestFiles();
  const paths = files.map(({ path }) => path);
  assert.deepEqual(paths, ["/etc/ssh/sshd_config.d/10-banger.conf", "/etc/tmpfiles.d/tmp.conf"]);
  assert.match(files[0]?.content ?? "", /^PasswordAuthentication no$/m);
  const { customize } = await resolveRecipe("debian-slim");
  const [putting = ""] = customize.split("\n# Makes a fresh");
  const tree = mkdtempSync("/tmp/banger-catalog-");
  try {
    execFileSync("sh", ["-c", putting, "sh", tree]);
    for (const { path, content } of files) assert.equal(readFileSync(tree + path, "utf8"), content);
  } finally {
    rmSync(tree, { recursive: true });
  }
});

test("a recipe that extends another has its packages and its script before its own", async () => {
  const [slim, dev] = await Promise.all(["debian-slim", "debian-dev"].map(resolveRecipe));
  assert.ok(slim && dev);
  assert.deepEqual(dev.recipe.packages.slice(0, slim.recipe.packages.length), slim.recipe.packages);
  assert.ok(dev.recipe.packages.includes("docker.io"));
  assert.ok(dev.customize.startsWith(slim.customize) && dev.customize.includes("docker.socket"));
});

test("a recipe installs more where a release of Debian cuts a thing into other packages", async () => {
  const { images } = await readCatalog();
  const recipes = images.flatMap(({ recipe }) => recipe ?? []);
  const docker = (suite: string) => packagesFor(suite, recipes).filter((name) => /^docker/.test(name));
  assert.deepEqual(docker("bookworm"), ["docker-compose", "docker.io"]);
  assert.deepEqual(docker("trixie"), ["docker-compose", "docker.io", "docker-buildx", "docker-cli"]);
});

test("docker compose runs Debian 12's Compose, with what Docker says of itself left out", async (t) => {
  const tree = mkdtempSync(join(tmpdir(), "banger-compose-"));
  t.after(() => rmSync(tree, { recursive: true }));
  const { customize } = await resolveRecipe("debian-dev");
  const script = customize.slice(customize.indexOf("plugins=$root"));
  assert.ok(script.startsWith("plugins="));
  execFileSync("sh", ["-euc", `root=$1\n${script}`, "sh", tree]);
  mkdirSync(`${tree}/bin`);
  writeFileSync(`${tree}/bin/docker-compose`, '#!/bin/sh\nfor a in "$@"; do echo "[$a]"; done\n');
  chmodSync(`${tree}/bin/docker-compose`, 0o755);
  const plugin = (...argv: string[]) =>
    execFileSync(`${tree}/usr/libexec/docker/cli-plugins/docker-compose`, argv, {
      encoding: "utf8",
      env: { PATH: `${tree}/bin:${process.env["PATH"]}` },
    });
  assert.equal(plugin("--context", "x", "compose", "up", "a b"), "[up]\n[a b]\n");
  writeFileSync(`${tree}/bin/docker-compose`, "#!/bin/sh\necho 1.29.2\n");
  assert.equal(JSON.parse(plugin("docker-cli-plugin-metadata")).Version, "1.29.2");
});

test("a name stands for the id of its present recipe, an id for itself, another name for nothing", async () => {
  const { imageId } = await resolveRecipe("debian-slim");
  assert.equal(await imageIdOf("debian-slim"), imageId);
  assert.equal(await imageIdOf("debian-slim-0123abcd"), "debian-slim-0123abcd");
  await assert.rejects(imageIdOf("windows"), code("image_unknown"));
  await assert.rejects(imageIdOf("../debian-slim"), code("image_unknown"));
});

test("a wrong catalog is refused with the offending place", async () => {
  const good = JSON.parse(JSON.stringify(await readCatalog())) as { images: Record<string, unknown>[] };
  const first = good.images[0] as { recipe: Record<string, unknown> };
  const refused = (catalog: unknown, place: RegExp) =>
    assert.throws(
      () => parseCatalog(JSON.stringify(catalog)),
      (error) => code("catalog_invalid")(error) && place.test((error as Error).message),
    );
  refused({ images: [{ ...first, extra: 1 }] }, /extra/);
  refused({ images: [{ ...first, recipe: { ...first.recipe, rootfsMiB: -1 } }] }, /rootfsMiB/);
  refused(
    { images: [{ ...first, recipe: { ...first.recipe, customize: "../../etc/passwd.sh" } }] },
    /customize/,
  );
  refused({ images: [first, first] }, /twice/);
  const bundle = { url: "https://example.org/x.tar.zst", sha256: "0".repeat(64), bytes: 1 };
  refused({ images: [{ name: "x", summary: "x" }] }, /neither a recipe nor a bundle/);
  refused({ images: [{ ...first, recipe: { ...first.recipe, extends: "x" } }] }, /extends x/);
  assert.ok(parseCatalog(JSON.stringify({ images: [{ ...first, bundle }] })));
  refused({ images: [{ name: "x", summary: "x", bundle: { ...bundle, sha256: "1" } }] }, /sha256/);
  assert.ok(parseCatalog(JSON.stringify({ images: [{ name: "x", summary: "x", bundle }] })));
  refused({}, /images/);
});

test("the fingerprint covers recipe, release and scripts", async () => {
  const resolved = await resolveRecipe("debian-slim");
  const { recipe } = resolved;
  const variants = [
    resolved,
    { ...resolved, suite: `${resolved.suite}x` },
    { ...resolved, customize: `${resolved.customize}\n` },
    { ...resolved, writeDisk: `${resolved.writeDisk}\n` },
    { ...resolved, recipe: { ...recipe, packages: [...recipe.packages, "vim"] } },
    { ...resolved, recipe: { ...recipe, bootArguments: "quiet" } },
  ];
  assert.equal(new Set(variants.map(fingerprint)).size, variants.length);
  assert.equal(fingerprint({ ...resolved }), fingerprint(resolved));
});

/** Files of the host become images and kernels, boot, are promoted, and are missed when they change. */
import assert from "node:assert/strict";
import { appendFileSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ImageDetails } from "../../src/contract-images.js";
import { tool } from "../images/oci-layout.js";
import { TestHome, until, withHome } from "./harness.js";

let home: TestHome;
/** A root disk with an own kernel beside it: what somebody who builds images has. */
let files: string;

const boot = (image: string) => {
  const words = ["--rm", "--image", image, "--memory", "256M", "--vcpu", "1", "--", "uname", "-r"];
  return home.ok("vm", "run", ...words);
};
const show = (image: string) => home.json<ImageDetails>("image", "show", image);

before(async () => {
  home = new TestHome((root) => ({ XDG_DATA_HOME: join(root, "data") }));
  files = join(home.root, "files");
  mkdirSync(files);
  await withHome(async (shared) => {
    await shared.ok("image", "pull", "debian-slim");
    const { directory } = await shared.json<ImageDetails>("image", "show", "debian-slim");
    await tool("cp", ["--sparse=always", `${directory}/rootfs.ext4`, `${files}/root.ext4`]);
  });
  await home.ok("kernel", "pull", "debian-cloud");
  const { directory } = await home.json<ImageDetails>("kernel", "show", "debian-cloud");
  await tool("cp", [`${directory}/vmlinux`, files]);
  await tool("tar", ["-x", "-f", `${directory}/modules.tar`, "-C", files]);
});
after(() => home.dispose());

test("a kernel of a directory is copied, boots, and can go: the image has what it took of it", async () => {
  const id = (await home.ok("kernel", "import", "mine", "--from", files)).trim();
  assert.match(id, /^kernel-mine-[0-9a-f]{8}$/);
  await home.ok(
    "image",
    "register",
    "--name",
    "with-mine",
    "--rootfs",
    `${files}/root.ext4`,
    "--kernel-ref",
    "mine",
  );
  await home.ok("kernel", "rm", "mine");
  assert.match(await boot("with-mine"), /cloud/);
  await home.ok("image", "delete", "with-mine");
});

test("registered files stay where they are, boot, and are copied when they are promoted", async () => {
  const [release] = readdirSync(join(files, "lib/modules"));
  const modules = join(files, "lib/modules", release ?? "");
  const given = ["--rootfs", `${files}/root.ext4`, "--kernel", `${files}/vmlinux`, "--modules", modules];
  const registered = (await home.ok("image", "register", "--name", "own", ...given)).trim();
  const before = await show("own");
  assert.equal(readlinkSync(`${before.directory}/rootfs.ext4`), `${files}/root.ext4`);
  assert.equal((await boot("own")).trim(), release);
  const promoted = (await home.ok("image", "promote", "own")).trim();
  assert.notEqual(promoted, registered);
  const copy = await show("own");
  assert.equal(copy.id, promoted);
  assert.equal(lstatSync(`${copy.directory}/rootfs.ext4`).isFile(), true);
  await home.ok("image", "delete", registered);
  assert.equal((await boot("own")).trim(), release);
  assert.equal(existsSync(`${files}/root.ext4`), true, "what belongs to the user stays");
});

test("a registered file that changes its size is damage, which its image tells", async () => {
  await home.ok(
    "image",
    "register",
    "--name",
    "torn",
    "--rootfs",
    `${files}/root.ext4`,
    "--kernel",
    `${files}/vmlinux`,
  );
  appendFileSync(`${files}/root.ext4`, "more");
  await until("the damage is seen", async () => (await show("torn")).phase === "failed");
  assert.match((await show("torn")).error?.message ?? "", /rootfs\.ext4 has \d+ bytes instead of/);
});

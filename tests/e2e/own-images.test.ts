/** Files of the host become images and kernels, boot, are promoted, and are missed when they change. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ImageDetails } from "../../src/contract/images.js";
import { tool } from "../images/oci-layout.js";
import { TestHome, until, withHome } from "./harness.js";

let home: TestHome;
/** A root disk with an own kernel beside it: what somebody who builds images has. */
let files: string;

const boot = async (image: string) => {
  const words = ["--rm", "--image", image, "--memory", "256M", "--vcpu", "1", "--", "uname", "-r"];
  const release = await home.ok("vm", "run", ...words);
  // The daemon has taken the deletion down when the command ends, and carries it out; until then the image is used.
  await until("the VM has gone", async () => (await home.ok("vm", "list", "-q")) === "");
  return release;
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

test("an ext4 of one's own is what /root of each VM begins with, also of the promoted copy", async () => {
  const tree = join(home.root, "tree");
  mkdirSync(tree);
  writeFileSync(join(tree, "notes"), "from the seed\n");
  const seed = join(files, "seed.ext4");
  await tool("truncate", ["-s", "32M", seed]);
  await tool("mke2fs", ["-q", "-F", "-t", "ext4", "-d", tree, seed]);
  const given = ["--rootfs", `${files}/root.ext4`, "--kernel-ref", "debian-cloud", "--work-seed", seed];
  await home.ok("image", "register", "--name", "seeded", ...given);
  const look = async () => {
    const words = ["--rm", "--image", "seeded", "--memory", "256M", "--vcpu", "1", "--disk-size", "96M"];
    return home.ok(
      "vm",
      "run",
      ...words,
      "--",
      "sh",
      "-c",
      "ls -A /root; cat /root/notes; df -m /root | tail -n 1",
    );
  };
  const first = await look();
  assert.match(first, /^\.gitconfig|^\.ssh/m);
  assert.match(first, /^from the seed$/m);
  assert.doesNotMatch(first, /\.bashrc/, "nothing of the root disk's own /root");
  assert.ok(Number(/ (\d+) +\d+ +\d+ +\d+% \/root/.exec(first)?.[1]) > 60, first);
  const registered = (await show("seeded")).id;
  await home.ok("image", "promote", "seeded");
  await home.ok("image", "delete", registered);
  rmSync(seed);
  assert.match(await look(), /^from the seed$/m);
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

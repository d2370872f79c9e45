/** An image pushed to a real registry by others' tools is pulled by banger, boots, and survives a dying daemon. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ImageDetails, ImageView } from "../../src/contract/images.js";
import { homeHandles } from "../../src/home/handles.js";
import { debianTar, pushLayers } from "../images/debian-layers.js";
import { type HeldRegistry, holdRegistry } from "../images/held-registry.js";
import { tool } from "../images/oci-layout.js";
import { type RealRegistry, startRegistry } from "../images/real-registry.js";
import { tar } from "../images/tar-maker.js";
import { TestHome } from "./harness.js";

let home: TestHome;
let registry: RealRegistry;
let door: HeldRegistry;

/** Pushes Debian and a second, small layer on top of it as acme/debian-dev:1. */
async function pushDebian(): Promise<void> {
  const marker = join(home.root, "marker.tar");
  const seeded = { name: "root/.config/tool", data: "in the seed\n", uid: 1234, mode: 0o640 };
  writeFileSync(marker, tar([{ name: "opt/from-the-second-layer", data: "second\n" }, seeded]));
  const config = ["--config.env", "GREETING=hello", "--config.cmd", "bash", "--config.workingdir", "/srv"];
  await pushLayers(home.root, registry.host, "acme/debian-dev:1", [await debianTar(), marker], config);
}

before(async () => {
  home = new TestHome((root) => ({ XDG_DATA_HOME: join(root, "data") }));
  mkdirSync(join(home.root, "registry"));
  registry = await startRegistry(join(home.root, "registry"));
  door = await holdRegistry(registry.host);
  await pushDebian();
  mkdirSync(home.home.config, { recursive: true });
  writeFileSync(homeHandles(home.home).configFile, `default_image = "${reference()}"\n`);
});

after(async () => {
  await home.dispose();
  await door.close();
  await registry.stop();
});

const reference = () => `${door.host}/acme/debian-dev:1`;
const layersOf = async (): Promise<string[]> => {
  const text = await tool("skopeo", ["inspect", "--raw", "--tls-verify=false", `docker://${reference()}`]);
  return (JSON.parse(text) as { layers: { digest: string }[] }).layers.map(({ digest }) => digest);
};

test("a daemon killed while it pulls leaves a pull that the next one completes, with nothing fetched twice", async () => {
  await home.ok("kernel", "pull", "debian-cloud");
  const [debian, marker] = (await layersOf()) as [string, string];
  const held = door.hold(debian);
  const interrupted = home.start(["image", "pull", reference()]);
  await held;
  const { ociCache, images } = homeHandles(home.home);
  const blob = (digest: string) => join(ociCache, "blobs/sha256", digest.slice("sha256:".length));
  assert.ok(existsSync(blob(marker)), "the small layer is whole");
  await home.killDaemon();
  door.release();
  const before = door.asked.length;
  // The client starts another daemon by itself, which goes on with what the log says is wanted.
  const { status, stderr } = await interrupted.ended;
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^layer 2 of 2: 0\.0 MB \(/m);
  assert.match(stderr, /^layer 1 of 2: \d+(\.\d)? MB \(/m);
  const again = door.asked.slice(before).filter((line) => line.includes("/blobs/"));
  assert.equal(again.length, 1, `asked for ${again.join(", ")}`);
  assert.match(again[0] ?? "", new RegExp(`${debian} bytes=\\d+-$`), "only the rest of what was on its way");
  const [image] = await home.json<ImageView[]>("image", "list");
  assert.deepEqual([image?.name, image?.phase], ["debian-dev", "ready"]);
  assert.deepEqual(readdirSync(images), [image?.id]);
  const stray = readdirSync(join(ociCache, "blobs/sha256")).filter((name) => name.includes("."));
  assert.deepEqual(stray, []);
});

test("the image boots to ready and runs a command, and says what it was meant for", async () => {
  const script = [
    "cat /etc/debian_version /opt/from-the-second-layer; uname -r; ls /lib/modules",
    "cd; cat .config/tool; stat -c %u:%a .config/tool",
  ].join("; ");
  // Without --image: the configuration names it.
  const arguments_ = ["--rm", "--memory", "512M", "--", "sh", "-c", script];
  const [version, second, running, installed, ...seeded] = (await home.ok("vm", "run", ...arguments_)).split(
    "\n",
  );
  assert.match(version ?? "", /^\d+/);
  assert.equal(second, "second");
  assert.equal(running, installed, "the modules are those of the kernel that runs");
  assert.deepEqual(seeded, ["in the seed", "1234:640", ""]);
  const { manifest } = await home.json<ImageDetails>("image", "show", "debian-dev");
  const oci = manifest?.["oci"] as { env: string[]; cmd: string[]; workingDirectory: string };
  assert.ok(oci.env.includes("GREETING=hello"));
  assert.deepEqual([oci.cmd, oci.workingDirectory], [["bash"], "/srv"]);
});

test("doctor knows that the default image of a registry is here", async () => {
  const { stdout } = await home.run(["doctor", "--json"]);
  const { checks } = JSON.parse(stdout) as { checks: { name: string; detail: string }[] };
  const image = checks.find(({ name }) => name === "image");
  assert.equal(image?.detail, `${reference()} is present`);
});

test("a pull of what is here asks the registry for its manifest only; one of other options is refused", async () => {
  const before = door.asked.length;
  await home.ok("image", "pull", reference());
  assert.deepEqual(
    door.asked.slice(before).filter((line) => line.includes("/blobs/")),
    [],
  );
  const { status, stderr } = await home.run(["image", "pull", reference(), "--size", "20G"]);
  assert.deepEqual([status, /other options/.test(stderr)], [1, true], stderr);
});

test("an image that a VM uses stays; then image, kernel and cache go, and nothing is left", async () => {
  await home.ok("vm", "create", "--name", "user", "--image", "debian-dev", "--memory", "512M");
  const refused = await home.run(["image", "delete", "debian-dev"]);
  assert.deepEqual([refused.status, /in use by user/.test(refused.stderr)], [1, true], refused.stderr);
  await home.ok("vm", "delete", "user");
  await home.ok("image", "delete", "debian-dev");
  await home.ok("kernel", "rm", "debian-cloud");
  assert.match(await home.ok("image", "cache", "prune"), /^removed \d+ blobs/);
  const { images, kernels, ociCache } = homeHandles(home.home);
  for (const directory of [images, kernels, ociCache]) assert.deepEqual(readdirSync(directory), []);
});

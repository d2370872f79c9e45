/** Pulls against a registry that lies, stalls, cuts off and denies; and pulls that are killed. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/clock.js";
import { type PulledImage, type PullOptions, pullOci } from "../../src/images/oci/pull.js";
import {
  blobOf,
  manifestType,
  type RegistryDouble,
  registryDouble,
  send,
} from "../images/registry-double.js";
import { tar } from "../images/tar-maker.js";

let directory: string;
let registry: RegistryDouble;

const archives = [1, 2, 3].map((number) =>
  tar([{ name: `file-${number}`, data: Buffer.alloc(400_000, `layer ${number} `) }]),
);

beforeEach(async () => {
  directory = await mkdtemp("/tmp/banger-pull-");
  registry = await registryDouble(archives);
});

afterEach(async () => {
  await registry.stop();
  await rm(directory, { recursive: true, force: true });
});

const pull = (more: Partial<PullOptions> = {}, tag = "a/b:1"): Promise<PulledImage> =>
  pullOci(`${registry.host}/${tag}`, {
    cacheDirectory: `${directory}/cache`,
    environment: process.env,
    searchPath: process.env.PATH ?? "",
    clock: systemClock,
    signal: new AbortController().signal,
    delaysMs: [1, 1],
    ...more,
  });

const cached = (): string[] => readdirSync(`${directory}/cache/blobs/sha256`).sort();
const stray = (): string[] => cached().filter((name) => name.length !== 64);
const first = (): string => registry.layers[0]?.digest as string;
const isLayer = (url: string | undefined, digest = first()): boolean => url?.endsWith(digest) ?? false;
/** Answers for the first layer only. */
const forFirst =
  (
    answer: (bytes: Buffer, response: Parameters<typeof send>[2], range: string | undefined) => void,
  ): RegistryDouble["misbehave"] =>
  (request, response, bytes) => {
    if (!isLayer(request.url)) return false;
    answer(bytes, response, request.headers.range);
    return true;
  };

describe("what a registry sends", () => {
  test("is in the cache under its digest, once, and not asked for again", async () => {
    const pulled = await pull();
    for (const [index, layer] of pulled.layers.entries())
      assert.deepEqual(readFileSync(layer.path), archives[index]);
    registry.asked.length = 0;
    await pull();
    assert.deepEqual(registry.asked, ["/v2/a/b/manifests/1"]);
    assert.deepEqual(stray(), []);
  });

  test("is resumed where it was cut off", async () => {
    let cuts = 0;
    registry.misbehave = forFirst((bytes, response, range) => {
      if (cuts++ > 0) return send(bytes, range, response);
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 200_000), () => response.destroy());
    });
    await pull();
    const ranges = registry.asked.filter((path) => path.includes(`${first()} bytes=`));
    assert.equal(ranges.length, 1);
    assert.deepEqual(readFileSync(`${directory}/cache/blobs/sha256/${first().slice(7)}`), archives[0]);
  });

  test("is taken from the start by servers that know no ranges", async () => {
    let cuts = 0;
    registry.misbehave = forFirst((bytes, response) => {
      response.writeHead(200, { "content-length": bytes.length });
      if (cuts++ > 0) response.end(bytes);
      else response.write(bytes.subarray(0, 100_000), () => response.destroy());
    });
    await pull();
    assert.deepEqual(stray(), []);
  });

  const lies: [string, string, RegistryDouble["misbehave"]][] = [
    [
      "with a flipped bit",
      "blob_corrupt",
      forFirst((bytes, response) => {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8((flipped[1000] as number) ^ 4, 1000);
        send(flipped, undefined, response);
      }),
    ],
    [
      "of another length than announced",
      "blob_corrupt",
      forFirst((bytes, response) => send(Buffer.concat([bytes, bytes]), undefined, response)),
    ],
    [
      "that ends early, again and again",
      "blob_truncated",
      forFirst((bytes, response) => {
        response.writeHead(200);
        response.end(bytes.subarray(0, 1000));
      }),
    ],
    [
      "that never ends",
      "blob_corrupt",
      forFirst((_, response) => {
        response.writeHead(200);
        const more = (): void => {
          if (!response.destroyed) response.write(Buffer.alloc(65536), more);
        };
        more();
      }),
    ],
    [
      "with a range that was not asked for",
      "registry_failed",
      forFirst((bytes, response) => {
        response.writeHead(206, { "content-range": `bytes 7-${bytes.length - 1}/${bytes.length}` });
        response.end(bytes.subarray(7));
      }),
    ],
    [
      "by sending on without end",
      "registry_protocol",
      forFirst((_, response) => {
        response.writeHead(307, { location: "/v2/a/b/blobs/again" }).end();
      }),
    ],
  ];
  for (const [how, code, misbehave] of lies)
    test(`is refused ${how}`, async () => {
      // The redirect leads to a path of no blob, which redirects too.
      registry.misbehave = misbehave;
      if (code === "registry_protocol")
        registry.misbehave = (request, response, bytes) => {
          if (!isLayer(request.url)) return false;
          response.writeHead(307, { location: request.url as string }).end();
          return bytes.length > 0;
        };
      await assert.rejects(pull(), { code });
      registry.misbehave = () => false;
      await pull();
      assert.deepEqual(stray(), []);
    });

  test("as a manifest is refused when endless, torn, of the wrong kind or for another machine", async () => {
    registry.misbehave = (request, response) => {
      if (!request.url?.includes("/manifests/")) return false;
      response.writeHead(200, { "content-type": manifestType });
      const more = (): void => {
        if (!response.destroyed) response.write(Buffer.alloc(65536, " "), more);
      };
      more();
      return true;
    };
    await assert.rejects(pull(), { code: "registry_protocol" });
    registry.misbehave = () => false;
    const manifests: [string, unknown][] = [
      ["image_malformed", "[]"],
      ["image_malformed", { schemaVersion: 2, layers: [] }],
      [
        "image_malformed",
        {
          ...JSON.parse(registry.manifest.toString()),
          layers: [{ mediaType: "x", digest: "sha256:../../x", size: 1 }],
        },
      ],
      [
        "image_unsupported",
        {
          ...JSON.parse(registry.manifest.toString()),
          layers: [{ mediaType: "x", digest: first(), size: 1 }],
        },
      ],
      ["image_unsupported", { schemaVersion: 1, fsLayers: [] }],
      [
        "platform_missing",
        {
          mediaType: "application/vnd.oci.image.index.v1+json",
          manifests: [
            {
              mediaType: manifestType,
              digest: first(),
              size: 1,
              platform: { os: "linux", architecture: "arm64" },
            },
          ],
        },
      ],
    ];
    for (const [code, manifest] of manifests) {
      registry.manifest = Buffer.from(typeof manifest === "string" ? manifest : JSON.stringify(manifest));
      await assert.rejects(pull(), { code }, JSON.stringify(manifest));
    }
  });

  test("under a digest is refused when it is something else", async () => {
    const digest = blobOf(Buffer.from("something else")).digest;
    await assert.rejects(pull({}, `a/b@${digest}`), { code: "blob_corrupt" });
  });
});

describe("logins", () => {
  const login = { user: "u", password: "p" };
  const stored = async (config: unknown): Promise<string> => {
    const path = `${directory}/config.json`;
    await writeFile(path, JSON.stringify(config));
    return path;
  };

  test("are traded for a token at the server that the registry names", async () => {
    registry.login = login;
    const authFile = await stored({
      auths: { [registry.host]: { auth: Buffer.from("u:p").toString("base64") } },
    });
    assert.equal((await pull({ authFile })).layers.length, 3);
    await assert.rejects(pull({ cacheDirectory: `${directory}/other` }), { code: "registry_denied" });
  });

  test("come from credential helpers", async () => {
    registry.login = login;
    await mkdir(`${directory}/bin`);
    const helper = `${directory}/bin/docker-credential-double`;
    const answer = `{"ServerURL":"'"$server"'","Username":"u","Secret":"p"}`;
    await writeFile(
      helper,
      `#!/bin/sh\nread -r server\n[ "$1 $server" = "get ${registry.host}" ] || exit 1\necho '${answer}'\n`,
    );
    await chmod(helper, 0o755);
    const environment = { ...process.env, PATH: `${directory}/bin:${process.env.PATH}` };
    for (const config of [{ credsStore: "double" }, { credHelpers: { [registry.host]: "double" } }]) {
      const cacheDirectory = `${directory}/${Object.keys(config)[0]}`;
      const pulled = await pull({ authFile: await stored(config), environment, cacheDirectory });
      assert.equal(pulled.layers.length, 3);
    }
  });

  test("never go to another host that the registry redirects to", async () => {
    registry.login = login;
    const elsewhere = await registryDouble(archives);
    const seen: (string | undefined)[] = [];
    elsewhere.misbehave = (request) => {
      seen.push(request.headers.authorization);
      return false;
    };
    registry.misbehave = forFirst((_, response) => {
      response.writeHead(307, { location: `http://${elsewhere.host}/v2/a/b/blobs/${first()}` }).end();
    });
    const authFile = await stored({ auths: { [registry.host]: { username: "u", password: "p" } } });
    await pull({ authFile });
    await elsewhere.stop();
    assert.deepEqual(seen, [undefined]);
  });
});

const child = fileURLToPath(new URL("../images/pull-child.js", import.meta.url));

/** Kills a pull when it says what is waited for. */
async function killAt(sign: RegExp): Promise<void> {
  const started = spawn(process.execPath, [child, `${registry.host}/a/b:1`, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(started, "exit");
  for await (const line of createInterface({ input: started.stdout }))
    if (sign.test(line)) {
      started.kill("SIGKILL");
      break;
    }
  await ended;
}

describe("a pull that is killed", () => {
  for (const [when, sign] of [
    ["in the middle of a layer", /^0 [1-9]\d* downloading/],
    ["with a layer done", /^[12] \d+ done/],
    ["while converting", /^converting/],
  ] as const)
    test(`${when} is completed by the next, which asks for no whole blob again`, async () => {
      let held = true;
      registry.misbehave = forFirst((bytes, response, range) => {
        if (!held) return send(bytes, range, response);
        // The first layer stops half way, so that the others finish before it.
        response.writeHead(200, { "content-length": bytes.length });
        response.write(bytes.subarray(0, 150_000));
        if (when === "while converting") response.end(bytes.subarray(150_000));
      });
      await killAt(sign);
      held = false;
      const whole = cached().filter((name) => name.length === 64);
      registry.asked.length = 0;
      await rm(`${directory}/root.ext4`, { force: true });
      await killAt(/^never/);
      assert.ok(existsSync(`${directory}/root.ext4`));
      assert.deepEqual(stray(), []);
      for (const name of whole)
        assert.ok(!registry.asked.some((path) => path.includes(`blobs/sha256:${name}`)), name);
      const resumed = registry.asked.find((path) => path.includes(first()));
      if (when === "in the middle of a layer") assert.match(resumed ?? "", / bytes=\d+-$/);
    });

  test("does not hold up others: two pulls at once fetch each blob once", async () => {
    const pulled = await Promise.all([pull(), pull(), pull()]);
    assert.deepEqual(pulled[0]?.layers, pulled[1]?.layers);
    for (const { digest } of registry.layers)
      assert.equal(registry.asked.filter((path) => path.endsWith(digest)).length, 1);
    assert.deepEqual(stray(), []);
  });

  test("by its signal rejects with the signal's reason, and leaves what can be resumed", async () => {
    const stop = new AbortController();
    registry.misbehave = forFirst((bytes, response) => {
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 150_000));
    });
    const reason = new Error("no longer wanted");
    const onProgress: PullOptions["onProgress"] = ({ layer, receivedBytes }) => {
      if (layer === 0 && receivedBytes > 0) stop.abort(reason);
    };
    await assert.rejects(pull({ signal: stop.signal, onProgress }), reason);
    registry.misbehave = () => false;
    await pull();
    assert.deepEqual(stray(), []);
  });
});

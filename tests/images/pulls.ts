/** What tests of pulls begin with: an image of three layers in a registry's double, and an empty cache. */
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { afterEach, beforeEach } from "node:test";
import { systemClock } from "../../src/lib/clock.js";
import { type PulledImage, type PullOptions, pullOci } from "../../src/oci/pull.js";
import { type RegistryDouble, registryDouble, type send } from "./registry-double.js";
import { tar } from "./tar-maker.js";

export const archives = [1, 2, 3].map((number) =>
  tar([{ name: `file-${number}`, data: Buffer.alloc(400_000, `layer ${number} `) }]),
);

type Answer = (bytes: Buffer, response: Parameters<typeof send>[2], range: string | undefined) => void;

export class Pulls {
  directory = "";
  registry!: RegistryDouble;

  constructor() {
    beforeEach(async () => {
      this.directory = await mkdtemp("/tmp/banger-pull-");
      this.registry = await registryDouble(archives);
    });
    afterEach(async () => {
      await this.registry.stop();
      await rm(this.directory, { recursive: true, force: true });
    });
  }

  pull(more: Partial<PullOptions> = {}, name = "a/b:1", host?: string): Promise<PulledImage> {
    return pullOci(`${host ?? this.registry.host}/${name}`, {
      cacheDirectory: `${this.directory}/cache`,
      environment: process.env,
      searchPath: process.env.PATH ?? "",
      clock: systemClock,
      signal: new AbortController().signal,
      delaysMs: [1, 1],
      ...more,
    });
  }

  /** Names of the blobs in the cache, and of what else lies there. */
  cached(): string[] {
    return readdirSync(`${this.directory}/cache/blobs/sha256`).sort();
  }

  stray(): string[] {
    return this.cached().filter((name) => name.length !== 64);
  }

  /** Digest of the first layer. */
  first(): string {
    return this.registry.layers[0]?.digest as string;
  }

  /** Answers for the first layer only. */
  forFirst(answer: Answer): RegistryDouble["misbehave"] {
    return (request, response, bytes) => {
      if (!request.url?.endsWith(this.first())) return false;
      answer(bytes, response, request.headers.range);
      return true;
    };
  }
}

/** The cache of blobs: named by what they hold, whole or not there, and shared by pulls that run at once. */
import { spawn } from "node:child_process";
import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { hostError } from "../host/host-error.js";
import { BangerError } from "../lib/errors.js";
import type { HttpResponse } from "./http.js";
import type { Descriptor } from "./manifest.js";
import { type RetryOptions, tryPlaces } from "./retry.js";

/** Where missing bytes come from. */
export interface BlobSource {
  places: number;
  get(place: number, headers: Record<string, string>): Promise<HttpResponse>;
}

export interface FetchOptions extends RetryOptions {
  /** Bytes of the blob that are here; called often. */
  onBytes: (bytes: number) => void;
  /** Looked up in for flock, as in PATH. */
  searchPath: string;
}

/** A round with fewer bytes than this counts as one without progress. */
const progressBytes = 64 << 10;
const readBytes = 1 << 20;

/** `<cache>/blobs/sha256/<hex>`. */
export function blobPath(cacheDirectory: string, digest: string): string {
  const [algorithm, hex] = digest.split(":", 2);
  return `${cacheDirectory}/blobs/${algorithm}/${hex}`;
}

const algorithmOf = (digest: string): string => digest.split(":", 1)[0] as string;
const digestOf = (digest: string, hash: Hash): string => `${algorithmOf(digest)}:${hash.digest("hex")}`;

export const matchesDigest = (bytes: Buffer, digest: string): boolean =>
  digestOf(digest, createHash(algorithmOf(digest)).update(bytes)) === digest;

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Takes the file's lock, waiting for it. flock(1) locks what it inherits, and the lock stays with our own
 * descriptor: it ends with this process, however that ends.
 */
async function lock(file: FileHandle, searchPath: string, signal: AbortSignal): Promise<void> {
  const env = { PATH: searchPath, LC_ALL: "C.UTF-8" };
  const child = spawn("flock", ["-x", "3"], {
    env,
    cwd: "/",
    signal,
    stdio: ["ignore", "ignore", "ignore", file.fd],
  });
  await new Promise<void>((resolve, reject) => {
    child.once("error", (cause: NodeJS.ErrnoException) => {
      if (signal.aborted) reject(signal.reason);
      else if (cause.code !== "ENOENT") reject(cause);
      else
        reject(
          new BangerError("tool_missing", "flock is not installed", {
            hint: "apt-get install util-linux",
            cause,
          }),
        );
    });
    child.once("close", (code) => {
      if (code === 0) resolve();
      else
        reject(signal.aborted ? signal.reason : new BangerError("tool_failed", `flock ended with ${code}`));
    });
  });
}

/** One blob on its way into the cache; its lock is ours. */
class Download {
  private hash: Hash;
  private received = 0;
  private before = 0;

  constructor(
    private readonly file: FileHandle,
    private readonly descriptor: Descriptor,
    private readonly options: FetchOptions,
  ) {
    this.hash = createHash(algorithmOf(descriptor.digest));
  }

  /** Takes in what an earlier pull left. */
  async resume(): Promise<void> {
    const { size } = await this.file.stat();
    if (size > this.descriptor.size) return this.restart();
    const buffer = Buffer.allocUnsafe(readBytes);
    while (this.received < size) {
      this.options.signal.throwIfAborted();
      const { bytesRead } = await this.file.read(buffer, 0, buffer.length, this.received);
      if (bytesRead === 0) break;
      this.hash.update(buffer.subarray(0, bytesRead));
      this.received += bytesRead;
    }
    this.options.onBytes(this.received);
  }

  async fetch(source: BlobSource): Promise<void> {
    const progressed = (): boolean => {
      const gained = this.received - this.before >= progressBytes;
      this.before = this.received;
      return gained;
    };
    this.before = this.received;
    await tryPlaces(source.places, (place) => this.attempt(source, place), this.options, progressed);
  }

  private async restart(): Promise<void> {
    this.hash = createHash(algorithmOf(this.descriptor.digest));
    this.received = 0;
    this.before = 0;
    await this.file.truncate(0);
  }

  private async attempt(source: BlobSource, place: number): Promise<void> {
    const resumed = this.received > 0;
    try {
      if (this.received < this.descriptor.size) await this.read(source, place);
      await this.check();
    } catch (error) {
      const corrupt = error instanceof BangerError && error.code === "blob_corrupt";
      if (!corrupt) throw error;
      await this.restart();
      // What was resumed may have been at fault; without it there is only the registry to blame.
      if (!resumed) throw error;
      await this.read(source, place);
      await this.check();
    }
  }

  private async check(): Promise<void> {
    const { digest, size } = this.descriptor;
    if (this.received < size)
      throw new BangerError("blob_truncated", `${digest} ended after ${this.received} of ${size} bytes`, {
        retry: "later",
      });
    const found = digestOf(digest, this.hash.copy());
    if (found !== digest)
      throw new BangerError("blob_corrupt", `${digest} arrived as ${found}`, {
        hint: "pull again; if it stays so, the registry or its mirror is broken",
      });
  }

  private async read(source: BlobSource, place: number): Promise<void> {
    const from = this.received;
    const response = await source.get(place, from > 0 ? { range: `bytes=${from}-` } : {});
    try {
      await this.accept(response, from);
      for await (const chunk of response.body) await this.append(chunk);
    } finally {
      response.close();
    }
  }

  /** Whether the answer continues where we are, starts over, or does not answer what was asked. */
  private async accept(response: HttpResponse, from: number): Promise<void> {
    const { digest, size } = this.descriptor;
    if (response.status === 206) {
      const range = response.header("content-range") ?? "";
      const found = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range);
      if (Number(found?.[1]) !== from || (found?.[2] !== "*" && Number(found?.[2]) !== size))
        throw new BangerError(
          "blob_corrupt",
          `${digest} was answered with the range ${JSON.stringify(range)}`,
        );
      return;
    }
    if (response.status === 416) throw new BangerError("blob_corrupt", `${digest} cannot be resumed`);
    if (from > 0) await this.restart();
    const length = response.header("content-length");
    if (length !== undefined && Number(length) !== size)
      throw new BangerError("blob_corrupt", `${digest} has ${length} bytes instead of ${size}`);
  }

  private async append(chunk: Uint8Array): Promise<void> {
    if (this.received + chunk.length > this.descriptor.size)
      throw new BangerError(
        "blob_corrupt",
        `${this.descriptor.digest} is longer than its ${this.descriptor.size} bytes`,
      );
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.file.write(chunk, done, chunk.length - done, this.received + done);
      done += bytesWritten;
    }
    this.hash.update(chunk);
    this.received += chunk.length;
    this.options.onBytes(this.received);
  }
}

export class BlobCache {
  constructor(private readonly directory: string) {}

  path(digest: string): string {
    return blobPath(this.directory, digest);
  }

  /** A small blob out of the cache, undefined when it is not there or not what its name says. */
  async read(digest: string, limit: number): Promise<Buffer | undefined> {
    const size = await sizeOf(this.path(digest));
    if (size === undefined || size > limit) return undefined;
    const bytes = await readFile(this.path(digest));
    return matchesDigest(bytes, digest) ? bytes : undefined;
  }

  async remove(digest: string): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  /** Keeps a small blob. @throws like `ensure` */
  async put(digest: string, bytes: Buffer, options: FetchOptions): Promise<void> {
    const whole = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes;
    };
    const get = async () => ({ status: 200, header: () => undefined, body: whole(), close: () => undefined });
    await this.ensure({ mediaType: "", digest, size: bytes.length }, { places: 1, get }, options);
  }

  /**
   * Brings a blob into the cache, checked. True when it was talready present.
   * @throws BangerError `blob_corrupt`, `blob_truncated`, `disk_full`, what the source throws, the signal's reason
   */
  async ensure(descriptor: Descriptor, source: BlobSource, options: FetchOptions): Promise<boolean> {
    const path = this.path(descriptor.digest);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      while (!(await this.has(descriptor))) {
        const file = await open(`${path}.partial`, constants.O_RDWR | constants.O_CREAT, 0o600);
        try {
          await lock(file, options.searchPath, options.signal);
          if (await this.take(file, descriptor, source, options)) return false;
        } finally {
          await file.close();
        }
      }
      return true;
    } catch (error) {
      throw options.signal.aborted ? options.signal.reason : hostError(error, path);
    }
  }

  /** Whether the whole blob is there; one of another length than it must have is taken away. */
  private async has({ digest, size }: Descriptor): Promise<boolean> {
    const found = await sizeOf(this.path(digest));
    if (found !== undefined && found !== size) await rm(this.path(digest), { force: true });
    return found === size;
  }

  /** With the lock held: false when somebody else has fetched, or abandoned, the blob meanwhile. */
  private async take(
    file: FileHandle,
    descriptor: Descriptor,
    source: BlobSource,
    options: FetchOptions,
  ): Promise<boolean> {
    const path = this.path(descriptor.digest);
    const partial = `${path}.partial`;
    const [ours, there] = await Promise.all([file.stat(), stat(partial).catch(() => undefined)]);
    if (ours.ino !== there?.ino) return false;
    if (await this.has(descriptor)) {
      await rm(partial, { force: true });
      return false;
    }
    const download = new Download(file, descriptor, options);
    try {
      await download.resume();
      await download.fetch(source);
      await file.sync();
      await rename(partial, path);
      return true;
    } finally {
      // An empty file helps nobody resume.
      const left = await file.stat();
      if (left.size === 0 && descriptor.size !== 0) await rm(partial, { force: true });
    }
  }
}

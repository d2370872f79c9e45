/** The archive inside a layer, whatever it is packed with: as with containerd its first bytes say so, not its type. */
import { spawn } from "node:child_process";
import { closeSync, createReadStream, openSync, readSync } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { BangerError } from "../lib/errors.js";
import { TarError } from "./tar-header.js";

const chunkBytes = 256 << 10;

interface Unpacked {
  bytes: Readable;
  /** Packed bytes read so far. */
  packed(): number;
  /** To be awaited after the last byte. @throws TarError when unpacking failed */
  ended: Promise<void>;
  close(): void;
}

/** Unpacks its standard input; it may take the memory of its usual window. */
interface Unpacker {
  tool: string;
  argv: readonly string[];
  package: string;
}

const zstd: Unpacker = { tool: "zstd", argv: ["-dcq", "--memory=128MB"], package: "zstd" };
const xz: Unpacker = { tool: "xz", argv: ["-dcq", "--memlimit=128MiB"], package: "xz-utils" };
const bzip2: Unpacker = { tool: "bzip2", argv: ["-dcq"], package: "bzip2" };

const startsWith = (lead: Buffer, hex: string): boolean =>
  lead.subarray(0, hex.length / 2).equals(Buffer.from(hex, "hex"));

/** A frame that holds no content, which may come before any other: 0x184D2A50 to 5F, RFC 8878. */
const isSkippable = (lead: Buffer): boolean =>
  ((lead[0] ?? 0) & 0xf0) === 0x50 && startsWith(lead.subarray(1), "2a4d18");

function leadingBytes(path: string): Buffer {
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(6);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}

function unpackerOf(lead: Buffer): Unpacker | "gzip" | undefined {
  if (startsWith(lead, "1f8b")) return "gzip";
  if (startsWith(lead, "28b52ffd") || isSkippable(lead)) return zstd;
  if (startsWith(lead, "fd377a585a00")) return xz;
  return startsWith(lead, "425a68") ? bzip2 : undefined;
}

function unpackWith(
  { tool, argv, package: name }: Unpacker,
  source: Readable,
  searchPath: string,
): { bytes: Readable; ended: Promise<void>; close(): void } {
  const env = { PATH: searchPath, LC_ALL: "C.UTF-8" };
  const child = spawn(tool, argv, { env, cwd: "/", stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => {
    said = `${said}${bytes}`.slice(-500);
  });
  child.stdin.on("error", () => undefined);
  source.pipe(child.stdin);
  const ended = new Promise<void>((resolve, reject) => {
    child.once("error", (cause) => {
      const hint = `apt-get install -y ${name}`;
      reject(new BangerError("tool_missing", `${tool} is not installed`, { hint, cause }));
    });
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(new TarError(`it cannot be unpacked: ${said.trim().split("\n").at(-1)}`));
    });
  });
  ended.catch(() => undefined);
  return { bytes: child.stdout, ended, close: () => child.kill("SIGKILL") };
}

export function unpackLayer(path: string, searchPath: string): Unpacked {
  const unpacker = unpackerOf(leadingBytes(path));
  const source = createReadStream(path, { highWaterMark: chunkBytes });
  const packed = () => source.bytesRead;
  const close = () => source.destroy();
  if (unpacker === undefined) return { bytes: source, packed, ended: Promise.resolve(), close };
  if (unpacker === "gzip") {
    const bytes = source.pipe(createGunzip({ chunkSize: chunkBytes }));
    source.once("error", (error) => bytes.destroy(error));
    return { bytes, packed, ended: Promise.resolve(), close };
  }
  const child = unpackWith(unpacker, source, searchPath);
  return {
    ...child,
    packed,
    close() {
      close();
      child.close();
    },
  };
}

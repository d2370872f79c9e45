/** Unpacks what distributions pack their kernels and modules with, told by its first bytes. */
import { execFileSync } from "node:child_process";
import { gunzipSync } from "node:zlib";
import { BangerError } from "../../lib/errors.js";
import { lz4LegacyMagic, unpackLz4Legacy } from "./lz4.js";

const toolDeadlineMs = 60_000;

function byTool(tool: "xz" | "zstd", packed: Buffer, limit: number): Buffer {
  try {
    return execFileSync(tool, ["-dc"], {
      input: packed,
      maxBuffer: limit,
      timeout: toolDeadlineMs,
      stdio: ["pipe", "pipe", "ignore"],
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new BangerError("tool_missing", `${tool} is not installed`, {
      hint: `apt-get install ${tool === "xz" ? "xz-utils" : tool}`,
      cause: error,
    });
  }
}

export const isElf = (content: Buffer): boolean => content.toString("latin1", 0, 4) === "\x7fELF";

/**
 * The ELF file that `packed` is or holds; no more than `limit` bytes of it.
 * @throws BangerError `kernel_unusable` which names `what`, or `tool_missing`.
 */
export function unpackElf(packed: Buffer, limit: number, what: string): Buffer {
  const unusable = (why: string, cause?: unknown) =>
    new BangerError("kernel_unusable", `${what} of the image cannot be unpacked: ${why}`, { cause });
  try {
    let content = packed;
    if (packed.readUInt32LE(0) === lz4LegacyMagic) content = unpackLz4Legacy(packed, limit);
    else if (packed.readUInt16BE(0) === 0x1f8b) content = gunzipSync(packed, { maxOutputLength: limit });
    else if (packed.readUInt32BE(0) === 0xfd377a58) content = byTool("xz", packed, limit);
    else if (packed.readUInt32BE(0) === 0x28b52ffd) content = byTool("zstd", packed, limit);
    if (isElf(content)) return content;
  } catch (error) {
    throw error instanceof BangerError ? error : unusable((error as Error).message, error);
  }
  throw unusable(`it is not an ELF file, nor compressed in a known way (${packed.toString("hex", 0, 4)})`);
}

/** Takes the uncompressed kernel (an ELF with a PVH entry) out of a bzImage, so that no guest has to unpack it. */
import { execFileSync } from "node:child_process";
import { gunzipSync } from "node:zlib";
import { BangerError } from "../errors.js";
import { lz4LegacyMagic, unpackLz4Legacy } from "./lz4.js";

// Offsets into the setup header: Documentation/arch/x86/boot.rst of the kernel.
const setupSectors = 0x1f1;
const headerMagic = 0x202;
const payloadOffset = 0x248;
const payloadLength = 0x24c;
const sectorBytes = 512;
/** No kernel is larger than this once unpacked, in bytes. */
const maximumKernel = 256 << 20;
const toolDeadlineMs = 60_000;

const bad = (why: string, cause?: unknown): BangerError =>
  new BangerError("kernel_unusable", `the kernel of the image cannot be unpacked: ${why}`, {
    hint: "banger image pull NAME, to build the image anew",
    cause,
  });

function byTool(tool: string, payload: Buffer): Buffer {
  try {
    return execFileSync(tool, ["-dc"], {
      input: payload,
      maxBuffer: maximumKernel,
      timeout: toolDeadlineMs,
      stdio: ["pipe", "pipe", "ignore"],
    });
  } catch (error) {
    const { code, stdout } = error as NodeJS.ErrnoException & { stdout?: Buffer };
    if (code === "ENOENT")
      throw new BangerError("tool_missing", `${tool} is not installed`, {
        hint: `apt-get install ${tool === "xz" ? "xz-utils" : tool}`,
        cause: error,
      });
    // The four size bytes that the kernel appends are trailing garbage to the tool: it complains after its work.
    if (stdout !== undefined && stdout.length > 0) return stdout;
    throw bad(`${tool} refused it`, error);
  }
}

/** The compressed kernel inside a bzImage, with the kernel's own note of its unpacked size in the last 4 bytes. */
function payloadOf(bzImage: Buffer): Buffer {
  if (bzImage.length < 1024 || bzImage.toString("latin1", headerMagic, headerMagic + 4) !== "HdrS")
    throw bad("it is not a bzImage");
  const start = (bzImage.readUInt8(setupSectors) + 1) * sectorBytes + bzImage.readUInt32LE(payloadOffset);
  const end = start + bzImage.readUInt32LE(payloadLength);
  if (end <= start + 8 || end > bzImage.length) throw bad("its payload lies outside of the file");
  return bzImage.subarray(start, end);
}

function unpack(payload: Buffer): Buffer {
  const size = payload.readUInt32LE(payload.length - 4);
  if (size > maximumKernel) throw bad(`it would be ${size} bytes large`);
  const content = payload.subarray(0, -4);
  if (payload.readUInt32LE(0) === lz4LegacyMagic) return unpackLz4Legacy(content, size);
  if (payload.readUInt16BE(0) === 0x1f8b) return gunzipSync(content, { maxOutputLength: maximumKernel });
  if (payload.readUInt32BE(0) === 0xfd377a58) return byTool("xz", payload);
  if (payload.readUInt32BE(0) === 0x28b52ffd) return byTool("zstd", payload);
  throw bad(`its compression is unknown (${payload.toString("hex", 0, 4)})`);
}

/**
 * The ELF kernel inside `bzImage`; an ELF kernel is returned as it is.
 * @throws BangerError `kernel_unusable`, or `tool_missing` for xz and zstd.
 */
export function extractVmlinux(bzImage: Buffer): Buffer {
  const isElf = (image: Buffer) => image.toString("latin1", 0, 4) === "\x7fELF";
  if (isElf(bzImage)) return bzImage;
  let kernel: Buffer;
  try {
    kernel = unpack(payloadOf(bzImage));
  } catch (error) {
    throw error instanceof BangerError ? error : bad((error as Error).message, error);
  }
  if (!isElf(kernel)) throw bad("what it holds is no ELF file");
  return kernel;
}

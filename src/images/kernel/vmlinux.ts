/** Pure but for unpacking: takes the ELF kernel out of a bzImage, so that no guest has to unpack it at each boot. */
import { BangerError } from "../../lib/errors.js";
import { isElf, unpackElf } from "./unpack.js";

// Offsets into the setup header: Documentation/arch/x86/boot.rst of the kernel.
const setupSectors = 0x1f1;
const headerMagic = 0x202;
const payloadOffset = 0x248;
const payloadLength = 0x24c;
const sectorBytes = 512;
/** No kernel is larger than this once unpacked, in bytes. */
const maximumKernel = 256 << 20;

const bad = (why: string): BangerError =>
  new BangerError("kernel_unusable", `the kernel of the image cannot be unpacked: ${why}`);

/** The compressed kernel inside a bzImage. Its last 4 bytes are the unpacked size: gzip's own, else the build's. */
function payloadOf(bzImage: Buffer): Buffer {
  if (bzImage.length < 1024 || bzImage.toString("latin1", headerMagic, headerMagic + 4) !== "HdrS")
    throw bad("it is not a bzImage");
  const start = (bzImage.readUInt8(setupSectors) + 1) * sectorBytes + bzImage.readUInt32LE(payloadOffset);
  const end = start + bzImage.readUInt32LE(payloadLength);
  if (end <= start + 8 || end > bzImage.length) throw bad("its payload lies outside of the file");
  return bzImage.subarray(start, end);
}

/**
 * The ELF kernel inside `bzImage`; an ELF kernel is returned as it is.
 * @throws BangerError `kernel_unusable`, or `tool_missing` for xz and zstd.
 */
export function extractVmlinux(bzImage: Buffer): Buffer {
  if (isElf(bzImage)) return bzImage;
  const payload = payloadOf(bzImage);
  const size = payload.readUInt32LE(payload.length - 4);
  if (size > maximumKernel) throw bad(`it would be ${size} bytes`);
  const gzip = payload.readUInt16BE(0) === 0x1f8b;
  return unpackElf(gzip ? payload : payload.subarray(0, -4), size, "the kernel");
}

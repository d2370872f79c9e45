/** The last words of a log. */
import { open } from "node:fs/promises";

/** How much of a log's end tells how things ended, in bytes. */
const tellingBytes = 4096;

/** The last bytes of a file, and "" where it cannot be read. */
export async function endOf(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const start = Math.max(0, size - tellingBytes);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(tellingBytes), 0, tellingBytes, start);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return "";
  }
}

/** Which ports of the host a guest's port may be forwarded from. */
import { createServer } from "node:net";

/** A port of `address` that was free a moment ago. */
function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, address, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === "object" && bound !== null ? bound.port : 0));
    });
  });
}

/** Added to a guest port that the host cannot give: 22 becomes 10022, which is easy to remember. */
const shiftedBy = 10_000;
const freePortAttempts = 4;

/** Host ports of `address` for a guest's port, best first: the same number, that plus 10000, any free one. */
export function portAttempts(address: string, guestPort: number): (() => number | Promise<number>)[] {
  const attempts: (() => number | Promise<number>)[] = [() => guestPort];
  if (guestPort + shiftedBy < 65_536) attempts.push(() => guestPort + shiftedBy);
  for (let n = 0; n < freePortAttempts; n++) attempts.push(() => freePort(address));
  return attempts;
}

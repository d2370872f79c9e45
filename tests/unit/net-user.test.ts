/** The forward table of QEMU's user-mode network. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUsernet } from "../../src/effects/vmm/qemu/forwards.js";

const table = [
  "Hub -1 (net0):",
  "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ",
  "  TCP[ESTABLISHED]   33       127.9.0.1  8080       10.0.2.15  8080     0     0",
  "  TCP[HOST_FORWARD]  15       127.9.0.1 10022       10.0.2.15    22     0     0",
  "  TCP[HOST_FORWARD]  14       127.9.0.1  8080       10.0.2.15  8080     0     0",
  "  UDP[HOST_FORWARD]  16       127.9.0.1    53       10.0.2.15    53     0     0",
  "  ICMP[5 sec]        17       10.0.2.15     -         1.2.3.4     -     0     0",
  "",
].join("\r\n");

test("only listening TCP forwards are taken, in the order of guest ports", () => {
  assert.deepEqual(parseUsernet(table), [
    { address: "127.9.0.1", hostPort: 10022, guestPort: 22 },
    { address: "127.9.0.1", hostPort: 8080, guestPort: 8080 },
  ]);
  assert.deepEqual(parseUsernet(""), []);
});

/** What listens in simulated guests. */
import type { Listener } from "../../src/model/model.js";

/** Servers on this port keep to the guest's own loopback. */
const privatePort = 3000;

export const listener = (port: number): Listener => ({
  proto: "tcp",
  address: port === privatePort ? "127.0.0.1" : "0.0.0.0",
  port,
  pid: port,
  process: `server-${port}`,
  command: `server-${port}`,
});

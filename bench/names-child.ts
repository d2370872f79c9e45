/** One server of the names benchmark, `dns` or `echo`; prints its port. */
import { createSocket } from "node:dgram";
import { serveDns } from "../src/dns/server.js";
import { loopbackRange } from "../src/home/addresses.js";

const vms = 1000;

async function main(): Promise<void> {
  if (process.argv[2] === "echo") {
    const socket = createSocket("udp4");
    socket.on("message", (message, { port, address }) => socket.send(message, port, address));
    socket.bind(0, "127.0.0.1", () => console.log(socket.address().port));
    return;
  }
  const addresses = new Map<string, string>(
    Array.from({ length: vms }, (_, n) => [`vm-${n}`, `127.7.${n >> 8}.${n & 255}`]),
  );
  const { address } = await serveDns({
    host: "127.0.0.1",
    port: 0,
    names: { addressOf: (name) => addresses.get(name), nameOf: () => undefined },
    addresses: loopbackRange(7),
    warn: console.error,
  });
  console.log(address.split(":")[1]);
}

await main();

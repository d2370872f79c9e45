/**
 * A VMM that runs no guest: a process that has the VM's disks open, forwards ports to an echo, and has a real agent of
 * this host in the guest's place. It does what lines of JSON at its socket ask for, one on each connection.
 */
import { spawn } from "node:child_process";
import { openSync, rmSync } from "node:fs";
import { createServer as createListener, type Server } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Request, stubFiles } from "./signs.js";

const agent = fileURLToPath(new URL("../../../../build/banger-agent", import.meta.url));
const forwards = new Map<string, { server: Server; hostPort: number; guestPort: number }>();

/** The same port of the address, or any. */
async function forward(address: string, guestPort: number): Promise<void> {
  const server = createListener({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(port, address, resolve);
    });
  await listen(guestPort).catch(() => listen(0));
  const { port: hostPort } = server.address() as { port: number };
  forwards.set(`${address}:${hostPort}`, { server, hostPort, guestPort });
}

async function act(request: Request): Promise<void> {
  if (request.do === "power") process.exit(0);
  if (request.do === "forward") {
    const { address, guestPort } = request;
    if (![...forwards.values()].some((each) => each.guestPort === guestPort))
      await forward(address, guestPort);
  }
  if (request.do === "forget") {
    const key = `${request.address}:${request.hostPort}`;
    forwards.get(key)?.server.close();
    forwards.delete(key);
  }
}

for (const disk of process.argv.slice(4)) openSync(disk, "r+");
for (const path of Object.values(stubFiles)) rmSync(path, { force: true });
const argv = ["--pdeathsig", "KILL", agent, "--unix", stubFiles.agent];
spawn("setpriv", argv, { stdio: "ignore" });
createListener((socket) => {
  socket.on("error", () => socket.destroy());
  createInterface(socket).on("line", (line) => {
    void act(JSON.parse(line) as Request).then(() => {
      const list = [...forwards.values()].map(({ guestPort, hostPort }) => ({ guestPort, hostPort }));
      socket.end(JSON.stringify(list));
    });
  });
}).listen(stubFiles.control);

/**
 * A VMM that runs no guest: a process that has the VM's disks open, and a real agent of this host in the guest's place.
 * It does what lines of JSON at its socket ask for, one on each connection.
 */
import { spawn } from "node:child_process";
import { openSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Request, stubFiles } from "./signs.js";

const agent = fileURLToPath(new URL("../../../../build/banger-agent", import.meta.url));
for (const disk of process.argv.slice(4)) openSync(disk, "r+");
for (const path of Object.values(stubFiles)) rmSync(path, { force: true });
const argv = ["--pdeathsig", "KILL", agent, "--unix", stubFiles.agent];
spawn("setpriv", argv, { stdio: "ignore" });
createServer((socket) => {
  socket.on("error", () => socket.destroy());
  createInterface(socket).on("line", (line) => {
    if ((JSON.parse(line) as Request).do === "power") process.exit(0);
    socket.end("{}");
  });
}).listen(stubFiles.control);

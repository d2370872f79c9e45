/**
 * A double of Firecracker, as a program: it speaks the API, holds its state, and passes connections for the guest on to
 * a real agent of this host. Its root directory is the one that it was started in. `--harm WHAT:PATH` says what it does
 * with the request for that path: "refuse" it, "die" at it, or never "answer" it.
 */
import { spawn } from "node:child_process";
import { appendFileSync, existsSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, createServer as createSocketServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { wrongWithRequest } from "./firecracker-api-check.js";

const root = process.cwd();
const option = (name: string): string => process.argv[process.argv.indexOf(name) + 1] ?? "";
const inside = (path: string): string => `${root}${path}`;
const [harm, harmedPath] = option("--harm").split(":");
const agent = fileURLToPath(new URL("../../../build/banger-agent", import.meta.url));
const agentSocket = inside("/run/guest.sock");

let running = false;
let kernel: string | undefined;
const log = (words: string) => appendFileSync(inside(option("--log-path")), `now [x:main] ${words}\n`);

function end(code: number, lastWords: string): never {
  process.stdout.write(`${lastWords}\n`);
  log(`Firecracker exiting ${code === 0 ? "successfully" : "with error"}. exit_code=${code}`);
  process.exit(code);
}

class Fault extends Error {}

/** Like Firecracker's vsock: who asks for a port of the guest gets it, or is hung up on. */
function serveGuest(socket: Socket): void {
  socket.on("error", () => socket.destroy());
  socket.once("data", (data) => {
    const asked = /^CONNECT (\d+)\n/.exec(data.toString("latin1"));
    if (asked?.[1] !== "1024" || !running) return void socket.destroy();
    socket.pause();
    const guest = connect({ path: agentSocket, allowHalfOpen: true });
    guest.on("error", () => socket.destroy());
    guest.on("close", () => socket.destroy());
    socket.on("close", () => guest.destroy());
    guest.once("connect", () => {
      guest.write(data.subarray(asked[0].length));
      socket.write("OK 1073741824\n");
      socket.pipe(guest);
      // That the guest has ended its side is not passed on: only that it is gone.
      guest.pipe(socket, { end: false });
    });
  });
}

function startGuest(): void {
  if (kernel === undefined) throw new Fault("Cannot start microvm without kernel configuration.");
  spawn("setpriv", ["--pdeathsig", "KILL", agent, "--unix", agentSocket], { stdio: "ignore" });
  running = true;
}

function act(type: unknown): void {
  if (type === "InstanceStart") {
    if (running) throw new Fault("The requested operation is not supported after starting the microVM.");
    return startGuest();
  }
  if (!running) throw new Fault("The requested operation is not supported before starting the microVM.");
  if (type === "SendCtrlAltDel") setImmediate(() => end(0, "[1.0] reboot: Restarting system"));
}

function apply(method: string, path: string, body: Record<string, unknown>): void {
  for (const name of ["path_on_host", "kernel_image_path", "initrd_path"])
    if (typeof body[name] === "string" && !existsSync(inside(body[name])))
      throw new Fault(`No such file or directory (os error 2) ${body[name]}`);
  if (path === "/actions") return act(body["action_type"]);
  if ((method === "PATCH") !== running)
    throw new Fault(
      `The requested operation is not supported ${running ? "after" : "before"} starting the microVM.`,
    );
  if (path === "/boot-source") kernel = String(body["kernel_image_path"]);
  if (path === "/vsock") createSocketServer(serveGuest).listen(inside(String(body["uds_path"])));
}

function answer(method: string, path: string, text: string, response: ServerResponse): void {
  const body = text === "" ? undefined : (JSON.parse(text) as Record<string, unknown>);
  log(`${method} ${path} ${text}`);
  const wrong = wrongWithRequest(method, path, body);
  if (wrong.length > 0) throw new Fault(wrong.join("; "));
  if (path === harmedPath && harm === "refuse") throw new Fault("Open tap device failed: Resource busy");
  if (path === harmedPath && harm === "die") {
    log("Error creating KVM object: No such file or directory");
    end(1, "");
  }
  if (path === harmedPath && harm === "answer") return;
  if (path === "/") {
    const state = running ? "Running" : "Not started";
    const instance = { app_name: "Firecracker", id: option("--id"), state, vmm_version: "1.16.1" };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(instance));
    return;
  }
  apply(method, path, body ?? {});
  response.statusCode = 204;
  response.end();
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  try {
    answer(request.method ?? "", request.url ?? "", text, response);
  } catch (error) {
    response.statusCode = 400;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ fault_message: (error as Error).message }));
  }
}

createServer((request, response) => void serve(request, response)).listen(inside(option("--api-sock")));

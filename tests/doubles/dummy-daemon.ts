/** A double of the daemon: serves `GET /v1/daemon` as the only one of its home, or fails as BANGER_DUMMY says. */
import { appendFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { homeHandles } from "../../src/home/handles.js";
import { homeFrom } from "../../src/host/home.js";

const home = homeFrom(process.env);
const { apiSocket } = homeHandles(home);
const mode = process.env["BANGER_DUMMY"] ?? "serve";

/** Lets the test find and end every process that it started. */
appendFileSync(`${home.state}/pids`, `${process.pid}\n`);

if (mode === "crash") throw new Error("the dummy crashes");
if (mode === "refuse") {
  const error = { code: "log_newer", message: "the log is too new", hint: "install it", retry: "never" };
  process.stdout.write(`${JSON.stringify({ level: 60, error, msg: "the daemon cannot start" })}\n`);
  process.exit(1);
}
if (mode === "no file size") {
  // What the kernel does to one that may write no file. Node ignores the signal until somebody has listened to it.
  process.once("SIGXFSZ", () => undefined).removeAllListeners("SIGXFSZ");
  process.kill(process.pid, "SIGXFSZ");
}
if (mode === "few files") {
  // As the launcher says it where it may not raise the limit.
  process.stderr.write(
    "banger-launcher: the limit of open files (ulimit -n) is 40; at least 128 are needed\n",
  );
  process.exit(71);
}
if (mode === "leave") process.exit(0);
const isFirst = readFileSync(`${home.state}/pids`, "utf8") === `${process.pid}\n`;
if (mode === "leave once" && isFirst) process.exit(0);
if (mode === "linger") await new Promise((resolve) => setTimeout(resolve, 600_000));

try {
  // The lock, for which the real daemon has its log.
  mkdirSync(`${home.state}/lock`);
} catch {
  process.exit(0);
}
appendFileSync(`${home.state}/serving`, `${process.pid}\n`);
mkdirSync(home.runtime, { recursive: true });
rmSync(apiSocket, { force: true });
createServer((_request, response) => {
  response.end(JSON.stringify({ pid: process.pid }));
}).listen(apiSocket);

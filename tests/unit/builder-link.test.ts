/** Builders of a connection: a double in systemd's place starts one for each, as Accept=yes and StandardInput=socket do. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBuilder } from "../../src/images/builder/link.js";
import type { BuildReport } from "../../src/images/make/job.js";

const program = fileURLToPath(new URL("../../src/images/builder/main.js", import.meta.url));
const searchPath = process.env["PATH"] ?? "";

let directory: string;
let path: string;
let server: Server;
let children: ChildProcess[];

/** What the double starts for a connection. */
let argv: string[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "banger-link-"));
  path = join(directory, "builder.sock");
  children = [];
  argv = [process.execPath, program];
  server = createServer({ allowHalfOpen: true }, (connection) => {
    const [file = "", ...rest] = argv;
    // A pipe each way: what the builder reads ends when the caller has said all.
    const child = spawn(file, rest, { stdio: ["pipe", "pipe", "inherit"], detached: true });
    children.push(child);
    connection.pipe(child.stdin);
    child.stdout.pipe(connection);
    child.stdin.on("error", () => undefined);
    connection.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});

afterEach(() => {
  server.close();
  for (const { pid } of children)
    try {
      process.kill(-(pid as number), "SIGKILL");
    } catch {
      // It has ended, as it should.
    }
  rmSync(directory, { recursive: true, force: true });
});

async function reportsOf(output: NodeJS.ReadableStream): Promise<BuildReport[]> {
  const reports: BuildReport[] = [];
  for await (const line of createInterface({ input: output })) reports.push(JSON.parse(line) as BuildReport);
  return reports;
}

test("a builder of a connection reads its job, says who it is, and reports to the end", async () => {
  const scratch = `/var/tmp/banger-build-test${process.pid}`;
  mkdirSync(scratch);
  const builder = startBuilder({ scratch }, searchPath, path);
  const [first, ...rest] = await reportsOf(builder.output);
  assert.deepEqual(first, { pid: children[0]?.pid });
  assert.deepEqual(rest, [{ done: true }]);
  assert.equal(await builder.ended, "a closed connection");
  assert.ok(!existsSync(scratch));
});

test("a directory that is no build's is not removed", async () => {
  const [, report] = await reportsOf(startBuilder({ scratch: directory }, searchPath, path).output);
  assert.ok(report !== undefined && "error" in report);
  assert.ok(existsSync(directory));
});

test("a builder is asked to end as soon as it is known who it is", async () => {
  argv = ["sh", "-c", "trap 'exit 3' TERM; echo '{}'; while :; do sleep 0.05; done"];
  const builder = startBuilder({ scratch: directory }, searchPath, path);
  builder.stop();
  const lines = createInterface({ input: builder.output });
  const [child] = await new Promise<ChildProcess[]>((resolve) => lines.once("line", () => resolve(children)));
  const ended = new Promise<number | null>((resolve) => child?.once("exit", (status) => resolve(status)));
  builder.is(child?.pid as number);
  assert.equal(await ended, 3);
  await builder.ended;
});

test("where no systemd listens, the error says so and may pass", async () => {
  const builder = startBuilder({ scratch: directory }, searchPath, join(directory, "none.sock"));
  const failed = assert.rejects(builder.ended, { code: "builder_unreachable", retry: "later" });
  assert.deepEqual(await reportsOf(builder.output), []);
  await failed;
});

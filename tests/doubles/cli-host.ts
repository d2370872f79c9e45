/** The program itself as a child process, with canned replies in the daemon's place. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { encodeFrame, FrameReader, frameType } from "../../src/guest/exec-frames.js";
import { homeHandles } from "../../src/home/handles.js";
import { homeFrom } from "../../src/host/home.js";
import { FakeApi, inTemporaryDirectory, sendError, sendEvents } from "./fake-api.js";
import { eventView, vmView } from "./views.js";

export const program = fileURLToPath(new URL("../../../bin/banger", import.meta.url));
export const runDeadlineMs = 60_000;

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface Host {
  api: FakeApi;
  env: NodeJS.ProcessEnv;
  banger(
    argv: string[],
    input?: string,
    meanwhile?: (kill: (signal: NodeJS.Signals) => void) => void,
  ): Promise<Ended>;
  /** The same, begun by a shell script as its `"$@"`. */
  through(script: string, argv: string[]): Promise<Ended>;
}

/** Runs `use` in a home of its own, whose daemon is a double. */
export function withHost(use: (host: Host) => Promise<void>): Promise<void> {
  return inTemporaryDirectory(async (directory) => {
    const env = { HOME: directory, PATH: process.env["PATH"], BANGER_MODE: "user" };
    const home = homeFrom(env);
    await mkdir(home.runtime, { recursive: true });
    const api = await FakeApi.listen(homeHandles(home).apiSocket);
    try {
      const run = (
        [command, ...argv]: [string, ...string[]],
        input = "",
        meanwhile: Parameters<Host["banger"]>[2] = () => undefined,
      ) =>
        new Promise<Ended>((resolve) => {
          const child = spawn(command, argv, {
            cwd: directory,
            env,
            timeout: runDeadlineMs,
            killSignal: "SIGKILL",
          });
          let [stdout, stderr] = ["", ""];
          child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
          child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
          child.on("close", (status) => resolve({ status, stdout, stderr }));
          child.stdin.on("error", () => undefined).end(input);
          meanwhile((signal) => child.kill(signal));
        });
      await use({
        api,
        env,
        banger: (argv, ...more) => run([program, ...argv], ...more),
        through: (script, argv) => run(["sh", "-c", script, "sh", program, ...argv]),
      });
    } finally {
      await api.close();
    }
  });
}

export const switching =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: banger-exec\r\n\r\n";
export const exit = (ending: object): Buffer =>
  encodeFrame(frameType.exit, Buffer.from(JSON.stringify(ending)));

/** A guest that echoes its input to both outputs and then ends as told. */
export function echoingGuest(stream: Duplex, ending: object): void {
  stream.write(switching);
  const decoder = new FrameReader();
  stream.on("data", (chunk: Buffer) => {
    for (const { type, payload } of decoder.push(chunk)) {
      if (type === frameType.stdin) {
        stream.write(encodeFrame(frameType.stdout, payload));
        stream.write(encodeFrame(frameType.stderr, Buffer.from("noise\n")));
      }
      if (type === frameType.stdinEnd) stream.write(exit(ending));
    }
  });
}

/** Replies for a VM that is created, boots and answers. */
export function bootingVm(api: FakeApi): void {
  const value = (amount: number) => ({ value: amount, source: "built-in" });
  api.on("GET /v1/defaults", () => ({
    image: "debian-slim",
    vcpu: value(4),
    memoryMiB: value(8192),
    diskMiB: value(8192),
  }));
  api.on("GET /v1/images", () => [{ id: "debian-slim-00000000", name: "debian-slim", phase: "ready" }]);
  api.on("POST /v1/holds/*", (_asked, response) => response.flushHeaders());
  api.on("GET /v1/daemon", () => ({ room: { memoryMiB: { promised: 0, limit: null }, diskMiB: null } }));
  api.on("POST /v1/vms", () => vmView({ phase: "starting", step: "disk" }));
  api.on("GET /v1/vms/0a1b2c3d", () => vmView());
  api.on("GET /v1/events", ({ line }, response) => {
    const deleting = api.asked.some(({ line: asked }) => asked === "POST /v1/vms/actions");
    const types = [
      "created",
      "start_requested",
      "disk_attached",
      "network_attached",
      "process_started",
      "ready",
    ];
    const boot = types.map((type, index) => eventView(index + 1, `vm.${type}`));
    if (deleting) api.on("GET /v1/vms/0a1b2c3d", (_asked, reply) => sendError(reply, 404, notFound));
    assert.match(line, /ref=vm%2F0a1b2c3d/);
    sendEvents(response, deleting ? [eventView(8, "vm.deleted")] : boot);
  });
  api.on("POST /v1/vms/actions", () => ({
    results: [{ ref: "0a1b2c3d", vm: vmView({ phase: "deleting" }), after: 6 }],
  }));
}

export const notFound = {
  code: "vm_not_found",
  message: 'no VM is named "x"',
  hint: "banger vm list",
  retry: "never",
};

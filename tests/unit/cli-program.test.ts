/** The program itself as a child process, with canned replies in the daemon's place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFrame, FrameReader, frameType } from "../../src/guest/exec-frames.js";
import {
  bootingVm,
  echoingGuest,
  exit,
  notFound,
  program,
  runDeadlineMs,
  switching,
  withHost,
} from "../doubles/cli-host.js";
import { sendError, sendEvents } from "../doubles/fake-api.js";
import { eventView, vmView } from "../doubles/views.js";

test("VMs that the log does not know are told below a list, listed and ended when that is asked", () =>
  withHost(async ({ api, banger }) => {
    const directory = "/state/vms/0123abcd";
    const unknown = { id: "0123abcd", pid: 42, directory };
    api.on("GET /v1/vms", () => [vmView()]).on("GET /v1/unknown-vms", () => [unknown]);
    api.on("POST /v1/unknown-vms/0123abcd/kill", () => unknown);
    api.on("POST /v1/unknown-vms/beef/kill", (_asked, response) =>
      sendError(response, 404, { code: "vm_not_found", message: "no such", retry: "never" }),
    );
    const told = "banger: a VM runs here that are not in the log\n  try: banger vm list --unknown\n";
    const list = (...flags: string[]) => banger(["vm", "list", ...flags]);
    assert.equal((await list()).stderr, told);
    for (const flags of [["--json"], ["-q"], ["--filter", "name=x"]])
      assert.equal((await list(...flags)).stderr, "", flags.join(" "));
    assert.match(
      (await list("--unknown")).stdout,
      /^ID +PID +DIRECTORY\n0123abcd +42 +\/state\/vms\/0123abcd\n$/,
    );
    assert.deepEqual(JSON.parse((await list("--unknown", "--json")).stdout), [unknown]);
    assert.equal((await list("--unknown", "-q")).stdout, "0123abcd\n");
    assert.equal((await list("--unknown", "--filter", "name=x")).status, 2);
    const kill = (...words: string[]) => banger(["vm", "kill", "--unknown", ...words]);
    assert.deepEqual(await kill("0123abcd", "beef"), {
      status: 1,
      stdout: `0123abcd killed; its disks stay in ${directory}\n`,
      stderr: "banger: beef: no such\n",
    });
    assert.deepEqual(JSON.parse((await kill("0123abcd", "--json")).stdout), [
      { ref: "0123abcd", id: "0123abcd", name: "0123abcd", ok: true, result: "killed" },
    ]);
    assert.equal((await kill()).status, 2);
    api.on("GET /v1/unknown-vms", () => []);
    assert.equal((await list()).stderr, "");
  }));

test("vm list prints a table, JSON or ids", () =>
  withHost(async ({ api, banger }) => {
    api.on("GET /v1/vms", () => [vmView()]);
    assert.match((await banger(["vm", "list"])).stdout, /^NAME .*\nbox +0a1b2c3d +running/);
    assert.equal(JSON.parse((await banger(["vm", "ls", "--json"])).stdout)[0].name, "box");
    assert.deepEqual(await banger(["vm", "list", "-q"]), { status: 0, stdout: "0a1b2c3d\n", stderr: "" });
  }));

test("errors are two lines and status 1; a wrong command line is status 2", () =>
  withHost(async ({ api, banger }) => {
    api.on("GET /v1/vms/x", (_asked, response) => sendError(response, 404, notFound));
    const shown = await banger(["vm", "show", "x"]);
    assert.deepEqual(shown, {
      status: 1,
      stdout: "",
      stderr: 'banger: no VM is named "x"\n  try: banger vm list\n',
    });
    assert.equal(JSON.parse((await banger(["vm", "show", "x", "--json"])).stderr).error.code, "vm_not_found");
    assert.equal((await banger(["vm", "show"])).status, 2);
    for (const argv of [
      ["--branch", "b"],
      [".", "--from", "b"],
      ["-d", ".", "."],
    ]) {
      assert.equal((await banger(["vm", "run", ...argv])).status, 125, argv.join(" "));
    }
    const path = await banger(["vm", "run", "/", "--", "true"]);
    assert.equal(path.status, 125);
    assert.match(path.stderr, /not in a git repository/);
    assert.equal(api.asked.length, 2, "a wrong command line asks the daemon nothing");
  }));

test("vm run with a VM's name for a path leads to the VM", () =>
  withHost(async ({ api, banger }) => {
    api.on("GET /v1/vms/box", () => vmView());
    const told = await banger(["vm", "run", "box", "--", "sh", "-c", "exit 3"]);
    assert.equal(told.status, 125);
    assert.match(told.stderr, /box is an existing VM.*\n {2}try: banger vm exec box -- sh -c 'exit 3'\n$/);
    assert.match(
      (await banger(["vm", "run", "-d", "nobody"])).stderr,
      /nobody is not in a git repository|does not exist/,
    );
  }));

test("daemon status never starts a daemon, and says with its status that there is none", () =>
  withHost(async ({ api, banger }) => {
    await api.close();
    const { status, stdout } = await banger(["daemon", "status", "--json"]);
    assert.deepEqual({ status, ...JSON.parse(stdout) }, { status: 1, running: false });
  }));

test("vm exec hands input, both outputs and the status through", () =>
  withHost(async ({ api, banger }) => {
    api.onExec((_asked, stream) => echoingGuest(stream, { code: 3 }));
    const ended = await banger(
      ["vm", "exec", "box", "--env", "A=1", "--cwd", "/etc", "--", "cat", "-"],
      "hello\n",
    );
    assert.deepEqual(ended, { status: 3, stdout: "hello\n", stderr: "noise\n" });
    assert.deepEqual(api.asked[0], {
      line: "POST /v1/vms/box/exec",
      body: { argv: ["cat", "-"], cwd: "/etc", env: { A: "1" }, tty: false },
    });
    api.onExec((_asked, stream) => echoingGuest(stream, { signal: "SIGKILL", number: 9 }));
    assert.equal((await banger(["vm", "exec", "box", "--", "x"])).status, 137);
  }));

test("a command that the guest does not have is status 127, as in a shell", () =>
  withHost(async ({ api, banger }) => {
    const error = Buffer.from(JSON.stringify({ code: "not_found", message: "no such file" }));
    api.onExec(
      (_asked, stream) =>
        void stream.write(switching + encodeFrame(frameType.error, error).toString("latin1")),
    );
    const { status, stderr } = await banger(["vm", "exec", "box", "--", "nope"]);
    assert.deepEqual({ status, stderr }, { status: 127, stderr: "banger: nope: no such file\n" });
  }));

test("Ctrl-C goes to the command as a signal, and its status comes back", () =>
  withHost(async ({ api, banger }) => {
    let interrupt = (_signal: NodeJS.Signals): void => undefined;
    api.onExec((_asked, stream) => {
      stream.write(switching);
      stream.write(encodeFrame(frameType.stdout, Buffer.from("ready\n")));
      const decoder = new FrameReader();
      stream.on("data", (chunk: Buffer) => {
        for (const { type, payload } of decoder.push(chunk)) {
          // The end of its input is the sign that the client listens for signals.
          if (type === frameType.stdinEnd) interrupt("SIGINT");
          if (type === frameType.signal) stream.write(exit({ code: 40 + (payload[0] ?? 0) }));
        }
      });
    });
    const { status, stdout } = await banger(["vm", "exec", "box", "--", "sleep"], "", (kill) => {
      interrupt = kill;
    });
    assert.deepEqual({ status, stdout }, { status: 42, stdout: "ready\n" });
  }));

test("vm run --rm says the spec first, waits, runs the command, deletes and ends with its status", () =>
  withHost(async ({ api, banger }) => {
    bootingVm(api);
    api.onExec((_asked, stream) => echoingGuest(stream, { code: 5 }));
    const { status, stdout, stderr } = await banger(["vm", "run", "--rm", "--", "cat"], "out\n");
    assert.equal(status, 5);
    assert.equal(stdout, "out\n");
    assert.match(stderr, /^spec: 4 vcpu · 8192 MiB · 8G disk\nvm: box \(0a1b2c3d\)\ndisk \(100ms\)\n/);
    const exec = api.asked.find(({ line }) => line.endsWith("/exec"));
    assert.deepEqual(exec?.body, { argv: ["cat"], env: {}, tty: false });
    const [first] = api.asked;
    const { commandId } = api.asked.find(({ line }) => line === "POST /v1/vms")?.body as {
      commandId: string;
    };
    assert.deepEqual(first, { line: `POST /v1/holds/${commandId}`, body: { always: false } });
    const act = api.asked.find(({ line }) => line === "POST /v1/vms/actions");
    assert.deepEqual(act?.body, { action: "delete", refs: ["0a1b2c3d"] });
  }));

test("vm run --rm keeps a VM whose guest never became ready, and says how to see why", () =>
  withHost(async ({ api, banger }) => {
    bootingVm(api);
    const error = {
      step: "agent",
      code: "boot_timeout",
      message: "the guest did not answer",
      retry: "never",
    } as const;
    api.on("GET /v1/events", (_asked, response) => sendEvents(response, [eventView(6, "vm.step_failed")]));
    api.on("GET /v1/vms/0a1b2c3d", () => vmView({ phase: "error", readyAt: null, error }));
    const { status, stderr } = await banger(["vm", "run", "--rm", "--", "true"]);
    assert.equal(status, 125);
    assert.match(
      stderr,
      /box did not become ready.*kept.*the guest did not answer\n {2}try: banger vm logs box/,
    );
    assert.ok(api.asked.every(({ line }) => line !== "POST /v1/vms/actions"));
  }));

test("vm run --rm that is interrupted during the boot deletes the VM", () =>
  withHost(async ({ api, banger }) => {
    bootingVm(api);
    let interrupt = (_signal: NodeJS.Signals): void => undefined;
    const whole = api;
    api.on("GET /v1/events", (_asked, response) => {
      sendEvents(response, [eventView(1, "vm.created")]);
      bootingVm(whole);
      interrupt("SIGINT");
    });
    const { status } = await banger(["vm", "run", "--rm", "--", "true"], "", (kill) => {
      interrupt = kill;
    });
    assert.equal(status, 130);
    assert.ok(api.asked.some(({ line }) => line === "POST /v1/vms/actions"));
  }));

test("many refs are one request; one that is nobody does not stop the others, and the status is 1", () =>
  withHost(async ({ api, banger }) => {
    api.on("POST /v1/vms/actions", () => ({
      results: [
        { ref: "x", error: notFound, after: 3 },
        { ref: "box", vm: vmView({ phase: "stopping" }), after: 3 },
        { ref: "off", vm: vmView({ id: "00000001", name: "off", phase: "stopped" }), after: 3 },
      ],
    }));
    api.on("GET /v1/events", (_asked, response) => sendEvents(response, [eventView(4, "vm.process_exited")]));
    api.on("GET /v1/vms/0a1b2c3d", () => vmView({ phase: "stopped" }));
    const { status, stdout, stderr } = await banger(["vm", "stop", "x", "box", "off", "x"]);
    assert.deepEqual({ status, stdout }, { status: 1, stdout: "box stopped\noff stopped\n" });
    assert.match(stderr, /^banger: x: no VM is named "x"\n/);
    assert.deepEqual(api.asked[0]?.body, { action: "stop", refs: ["x", "box", "off"] });
  }));

test("prune asks nobody where there is no terminal: it wants -f", () =>
  withHost(async ({ api, banger }) => {
    api.on("GET /v1/vms", () => [vmView({ phase: "stopped" })]);
    const refused = await banger(["vm", "prune"]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /try: banger vm prune -f/);
    assert.equal((await banger(["vm", "prune", "--dry-run"])).stdout, "box would be deleted\n");
  }));

test("an image whose files lie here is not said to be fetched; one that is made shows how far it is", () =>
  withHost(async ({ api, banger }) => {
    const image = { id: "a-1", name: "a", phase: "building", seq: 8 };
    let here = true;
    api.on("POST /v1/images/pull", () => ({ image, after: 7, already: false, here }));
    api.on("GET /v1/events", (_asked, response) =>
      sendEvents(
        response,
        [eventView(8, "image.pull_requested"), eventView(9, "image.ready")].map((event) => ({
          ...event,
          stream: "image/a-1",
        })),
      ),
    );
    const found = await banger(["image", "pull", "a"]);
    assert.deepEqual(found, { status: 0, stdout: "a-1\n", stderr: "a is already present\n" });
    here = false;
    const made = await banger(["image", "pull", "a"]);
    assert.match(made.stderr, /^image: a not found locally, pulling\n[^]*image: a is ready \(/);
  }));

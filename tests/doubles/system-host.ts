/** A double of a host's systemd and root helper below a directory of its own; the files there are real. */
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { MethodName, Result } from "../../helper/contract.js";
import { Client } from "../../src/client/client.js";
import { systemHandles } from "../../src/home/handles.js";
import { BangerError } from "../../src/lib/errors.js";
import { type Ended, programRunner, type SystemHost } from "../../src/system/host.js";
import { FakeApi } from "./fake-api.js";

const none = { ids: [] };

/** The id of the user whom system mode is installed for. */
export const installedFor = 54_321;

export interface SystemDouble extends SystemHost {
  /** What systemctl and the helper were asked for, in order: "systemctl start x", "helper about". */
  asked: string[];
  /** A line of `asked` that fails. */
  failsAt: string | undefined;
  answers: Partial<{ [M in MethodName]: Result<M> }>;
  /** What the daemon has of VMs. */
  vms: object[];
  close(): Promise<void>;
}

/** A host on which nothing is installed. Its daemon answers from the moment at which systemd was told to start it. */
export function systemDouble(prefix: string): SystemDouble {
  const places = systemHandles(prefix);
  const apiSocket = `${places.runtime}/api.sock`;
  const { units, udevRules } = places;
  for (const path of [units, udevRules, dirname(places.base), dirname(places.cache), dirname(places.runtime)])
    mkdirSync(path, { recursive: true });
  fakeSystemctl(`${prefix}/bin`);
  let api: FakeApi | undefined;
  const stop = async () => {
    await api?.close();
    api = undefined;
  };
  const start = async () => {
    await stop();
    mkdirSync(places.runtime, { recursive: true });
    // As RuntimeDirectory= has it for the unit's user.
    if (process.getuid?.() === 0) chownSync(places.runtime, installedFor, installedFor);
    rmSync(apiSocket, { force: true });
    api = await FakeApi.listen(apiSocket);
    api.on("GET /v1/daemon", () => ({ pid: 7, version: "1.0.0" })).on("GET /v1/vms", () => host.vms);
  };
  const systemctl = async (line: string): Promise<Ended> => {
    host.asked.push(line);
    if (line === host.failsAt) return { status: 1, stdout: "", stderr: "it failed\n" };
    if (line === "systemctl restart bangerd.service") await start();
    if (/ (stop|disable --now) .*bangerd/.test(line)) await stop();
    return { status: 0, stdout: line.includes("is-active") ? "active\n" : "", stderr: "" };
  };
  const real = programRunner(process.env);
  const host: SystemDouble = {
    ...{ places, asked: [], failsAt: undefined, vms: [], env: { PATH: `${prefix}/bin` } },
    answers: {
      about: { version: "1.0.0", deviceMapper: true, firewall: "nft", resolver: true, ...noFirecracker },
      look: {
        ...{ bridge: false, tapPool: { size: 0 }, resolver: null },
        ...{ taps: none, strayTaps: none, nats: none },
        ...{ rootDevices: none, strayDevices: none, jails: none },
      },
    },
    daemon: new Client(apiSocket, null),
    run: (program, argv) =>
      program === "systemctl"
        ? systemctl(["systemctl", ...argv.filter((word) => word !== "--no-ask-password")].join(" "))
        : real(program, argv),
    async ask(method, params) {
      const line = ["helper", method, ...Object.values(params)].join(" ");
      host.asked.push(line);
      if (line === host.failsAt) throw new BangerError("helper_lost", "it failed");
      return (host.answers[method] ?? {}) as never;
    },
    stage: (_label, work) => work(),
    note() {},
    close: stop,
  };
  return host;
}

const noFirecracker = { firecracker: null, problem: "it is not installed" };

/** For what asks systemd by itself: whatever it wants has been done already. */
function fakeSystemctl(directory: string): void {
  mkdirSync(directory);
  writeFileSync(`${directory}/systemctl`, "#!/bin/sh\nexit 0\n");
  chmodSync(`${directory}/systemctl`, 0o755);
}

/** A third VMM, which is a folder: what a new one has to bring, in the least that does it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import type { AgentLine, Vmm, VmmHost, VmmKind } from "../../../src/effects/vmm/vmm.js";
import { type Home, vmHandles } from "../../../src/home/handles.js";
import { identify } from "../../../src/host/processes.js";
import { sleep } from "../../../src/host/wait.js";
import type { ProcessIdentity } from "../../../src/model/model.js";
import { StubControl } from "./control.js";
import { stubFiles, stubSigns } from "./signs.js";

const program = fileURLToPath(new URL("./program.js", import.meta.url));

const stubStart =
  ({ home, environment, clock }: Pick<VmmHost, "home" | "environment" | "clock">): Vmm["start"] =>
  async ({ vmId }, hold, signal) => {
    const handles = vmHandles(home, vmId);
    const { runtime, guestName, workDisk, rootDisk } = handles;
    const argv = [program, "--stub", guestName, workDisk, rootDisk];
    const options = { cwd: runtime, detached: true, stdio: "ignore", env: environment } as const;
    const child = spawn(process.execPath, argv, options);
    child.unref();
    await once(child, "spawn");
    const ended = new Promise<string | null>((resolve) => child.once("exit", (_, by) => resolve(by)));
    const { pid, startTime } = identify(child.pid as number) as ProcessIdentity;
    const control = hold((hooks) => new StubControl(handles, { pid, startTime }, hooks, ended));
    while (child.exitCode === null) {
      if (
        await control.ask({ do: "hello" }).then(
          () => true,
          () => false,
        )
      )
        return;
      await sleep(clock, 10, signal);
    }
    throw new Error("the stub ended before it listened");
  };

/** A connection to the agent is its guest for as long as it lasts. */
async function lineTo(home: Home, id: string): Promise<AgentLine> {
  const path = `${vmHandles(home, id).runtime}/${stubFiles.agent}`;
  const open = () => connect({ path, allowHalfOpen: true });
  const first = open();
  await once(first, "connect");
  first.on("error", () => first.destroy());
  const closed = new Promise<void>((resolve) => first.resume().once("close", () => resolve()));
  return { open, closed, close: () => void first.destroy() };
}

export const stub: VmmKind = {
  kind: stubSigns.kind,
  title: "The stub",
  modes: ["user"],
  usable: () => true,
  make: (host) => ({
    ...stubSigns,
    start: stubStart(host),
    attach: (id, process, hooks) => new StubControl(vmHandles(host.home, id), process, hooks),
    dial: (id) => lineTo(host.home, id),
    cleanUp: async () => {},
  }),
};

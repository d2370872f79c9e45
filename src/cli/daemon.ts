/** `banger daemon status` and `daemon stop`: the two commands that never start the daemon. */
import { identify } from "../host/processes.js";
import { pause } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import { command } from "./base/command.js";
import { answer, type Context, neverArrived, print, printJson, say } from "./base/context.js";
import { daemonDetails } from "./render/daemon.js";
import { styleFor } from "./render/style.js";

/** What `ask` yields, or undefined when no daemon runs. */
async function ifRunning<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (neverArrived(error)) return undefined;
    throw error;
  }
}

const look = ({ client, interrupts: { signal } }: Context) =>
  ifRunning(() => client.passive.call("daemon", { signal }));

export const status = command({
  summary: "Show whether the daemon is running; exit status 1 if not",
  usage: "[flags]",
  examples: ["banger daemon status", "banger daemon status --json"],
  flags: {},
  async run(flags, { context }) {
    const daemon = await look(context);
    if (context.json) await printJson(context, { running: daemon !== undefined, ...daemon });
    else if (daemon === undefined) say(context, "the daemon is not running");
    else
      await print(context, daemonDetails(daemon, context.clock.now(), styleFor(context.stdout, context.env)));
    return daemon === undefined ? 1 : 0;
  },
});

const stopDeadlineMs = 15_000;
const pollMs = 20;

export const stop = command({
  summary: "Stop the daemon; VMs keep running, and the next command finds them again",
  usage: "",
  examples: ["banger daemon stop"],
  flags: {},
  async run(_flags, { context }) {
    const { client, interrupts, mode } = context;
    if (mode === "system") {
      throw new BangerError("daemon_by_systemd", "in system mode, systemd manages the daemon", {
        hint: "sudo systemctl stop bangerd, or sudo banger system restart; VMs keep running either way",
      });
    }
    const asked = await ifRunning(() => client.passive.call("daemonStop", { signal: interrupts.signal }));
    if (asked === undefined) {
      if (context.json) await printJson(context, { stopped: false, running: false });
      say(context, "the daemon is not running");
      return 0;
    }
    for (let waitedMs = 0; stillThere(asked.pid); waitedMs += pollMs) {
      interrupts.signal.throwIfAborted();
      if (waitedMs >= stopDeadlineMs) {
        throw new BangerError("daemon_stuck", `the daemon (pid ${asked.pid}) does not exit`, {
          hint: `kill ${asked.pid}`,
        });
      }
      await pause(pollMs);
    }
    const { pid } = asked;
    await answer(context, { stopped: true, running: false, pid }, "daemon stopped; VMs keep running\n");
    return 0;
  },
});

/** Where nobody reaps it, as in a container whose first process is no init, one that has exited stays as a zombie. */
const stillThere = (pid: number): boolean => identify(pid).is !== "absent";

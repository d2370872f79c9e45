/** The hold on a VM that is deleted when this process ends, however it ends. */
import type { Duplex } from "node:stream";
import { pause } from "../../lib/clock.js";
import type { Context } from "../base/context.js";

/** A daemon that is ending is given this long to go. */
const againMs = 100;

export interface Hold {
  /** Resolves while the daemon knows of the hold; a daemon that went away is started and told again. */
  ready(): Promise<void>;
}

/** Holds what the create command with this id makes. `always`: also a VM whose guest never became reachable. */
export async function holdVm(context: Context, commandId: string, always: boolean): Promise<Hold> {
  const open = () => context.client.hold(commandId, { always });
  let current: Promise<void>;
  const keep = (connection: Duplex) => {
    connection.on("error", () => undefined);
    connection.once("close", () => {
      current = pause(againMs).then(open).then(keep);
      // Whoever needs the hold is told; without it the VM is deleted by this process alone.
      current.catch(() => undefined);
    });
    connection.resume();
  };
  current = open().then(keep);
  await current;
  return { ready: () => current };
}

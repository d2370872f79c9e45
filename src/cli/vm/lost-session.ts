/** Why a session in a guest broke off: the guest ended, or the daemon that carried it went away. */
import { pause } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { Context } from "../base/context.js";

/** The daemon hears of a guest's end a moment after the guest's connections have broken. */
const mostLooks = 20;
const lookMs = 100;

/** The guest's end after `since` (ms since the epoch) as an error; undefined when it has not ended, or nobody can tell. */
export async function guestEnded(
  { client: { passive } }: Context,
  ref: string,
  since: number,
): Promise<BangerError | undefined> {
  for (let looks = 0; looks < mostLooks; looks++) {
    const vm = await passive.call("vmShow", { ref }).catch(() => undefined);
    if (vm === undefined) return undefined;
    const { lastExit, name } = vm;
    if (lastExit !== null && Date.parse(lastExit.at) >= since) {
      const message = `${lastExit.detail} while the session ran`;
      return new BangerError("guest_ended", message, { hint: `banger vm why ${name}`, retry: "later" });
    }
    await pause(lookMs);
  }
  return undefined;
}

const daemonGone = new Set(["daemon_lost", "daemon_not_running"]);

/** That the daemon is not there any more, as an error; undefined when it is. */
export async function daemonWent(
  { client: { passive } }: Context,
  ref: string,
): Promise<BangerError | undefined> {
  try {
    await passive.call("vmShow", { ref });
    return undefined;
  } catch (error) {
    if (!(error instanceof BangerError && daemonGone.has(error.code))) return undefined;
    const message = "the daemon stopped, which ended the session; the VM keeps running";
    return new BangerError("exec_lost", message, {
      hint: `banger vm exec ${ref} -- CMD, which starts the daemon again`,
      retry: "later",
      cause: error,
    });
  }
}

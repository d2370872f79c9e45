/** Why a session in a guest broke off, where it was the guest that ended. */
import { pause } from "../clock.js";
import { BangerError } from "../errors.js";
import type { Context } from "./context.js";

/** The daemon hears of a guest's end a moment after the guest's connections have broken. */
const mostLooks = 20;
const lookMs = 100;

/** The guest's end after `since` (ms since the epoch) as an error; undefined when it has not ended, or nobody can tell. */
export async function guestEnded(
  { client }: Context,
  ref: string,
  since: number,
): Promise<BangerError | undefined> {
  for (let looks = 0; looks < mostLooks; looks++) {
    const vm = await client.call("vmShow", { ref }).catch(() => undefined);
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

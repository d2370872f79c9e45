/** A guest's command as a connection that outlives the daemon which carries it. */
import type { Duplex } from "node:stream";
import { isLost } from "../../client/errors.js";
import type { ExecRequest } from "../../contract/guest.js";
import type { Reconnect } from "../../guest/exec-line.js";
import { pause } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { Context } from "../base/context.js";

export interface CommandConnection {
  connection: Duplex;
  reconnect: Reconnect;
}

/** A daemon and its links to the guests are back in less; the guest waits longer. */
const reconnectMs = 60_000;
const againMs = 250;
const mostBegun = 3;

/** Asks for the command, and begins it once, whatever becomes of the daemon. @throws BangerError */
export async function openCommand(
  context: Context,
  ref: string,
  body: ExecRequest,
): Promise<CommandConnection> {
  const id = context.clock.hex(16);
  const attach = (received?: number) => context.client.exec(ref, body, { id, received });
  const reconnect = (received: number) => persist(context, () => attach(received));
  for (let begun = 1; ; begun++) {
    try {
      return { connection: await attach(), reconnect };
    } catch (error) {
      if (!isLost(error) || begun >= mostBegun) throw error;
    }
    // Nobody knows whether the daemon still handed it on.
    const connection = await reconnect(0).catch((error: unknown) => {
      if (error instanceof BangerError && error.code === "exec_gone") return undefined;
      throw error;
    });
    if (connection !== undefined) return { connection, reconnect };
  }
}

/** Asks again while that may help: the daemon starts, and then finds its guests. */
async function persist(context: Context, ask: () => Promise<Duplex>): Promise<Duplex> {
  const since = context.clock.now();
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const again = error instanceof BangerError && error.retry === "later";
      if (!again || context.clock.now() - since > reconnectMs) throw error;
    }
    await pause(againMs);
  }
}

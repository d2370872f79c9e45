/** Forwards of VMs in user mode: the network process's, and this daemon's for what listens on a guest's own loopback. */
import { BangerError } from "../../lib/errors.js";
import type { Forward, VmId } from "../../model/model.js";
import type { VmmControls } from "../vmm/controls.js";
import { type NetClient, NetRefusal } from "./control-client.js";
import type { NetworkControls } from "./controls.js";
import type { LoopbackForwards } from "./loopback-forwards.js";
import { portAttempts } from "./ports.js";

export interface ForwardDriver {
  ensure(id: VmId, address: string, to: Omit<Forward, "hostPort">): Promise<void>;
  ensureNone(id: VmId, address: string, forward: Forward): Promise<void>;
}

const connectMs = 5_000;

/**
 * Forwards a host port of `address` to `guestPort`, as `portAttempts` has it.
 * @throws BangerError `port_taken` when none of them could be bound.
 */
async function addForward(client: NetClient, address: string, guestPort: number): Promise<void> {
  let reason = "";
  for (const attempt of portAttempts(address, guestPort)) {
    try {
      await client.request(`forward ${address} ${await attempt()} ${guestPort}`);
      return;
    } catch (error) {
      if (!(error instanceof NetRefusal)) throw error;
      reason = error.reason;
    }
  }
  throw new BangerError("port_taken", `no port of ${address} can be forwarded to ${guestPort}: ${reason}`, {
    hint: `ss -ltnp src ${address}`,
    retry: "later",
  });
}

/** Each call asks the network process what it has, and again after changing it. */
export function userForwards(
  controls: VmmControls,
  networks: NetworkControls,
  own: LoopbackForwards,
): ForwardDriver {
  return {
    async ensure(id, address, to) {
      const { guestPort, loopback } = to;
      // Without a VMM there is nobody to forward to, whichever way.
      controls.require(id);
      if (loopback !== undefined) return own.ensure(id, address, to);
      const control = networks.require(id);
      const client = await control.client(connectMs);
      const { lines } = await client.request("forwards");
      if (!lines.some((line) => line.endsWith(` ${guestPort}`))) await addForward(client, address, guestPort);
      await control.refresh();
    },
    async ensureNone(id, address, { hostPort, loopback }) {
      if (loopback !== undefined) return own.ensureNone(id, hostPort);
      const control = networks.get(id);
      if (control === undefined) return;
      await (await control.client(connectMs)).request(`unforward ${address} ${hostPort}`);
      await control.refresh();
    },
  };
}

/** Loopback port forwards of QEMU's user-mode network, asked of the human monitor through QMP. */
import { BangerError } from "../../../lib/errors.js";
import type { Forward, VmId } from "../../../model/model.js";
import type { LoopbackForwards } from "../../net/loopback-forwards.js";
import { portAttempts } from "../../net/ports.js";
import type { VmmControls } from "../controls.js";
import type { QmpClient } from "./qmp.js";

/** The id that the network back end has on QEMU's command line. */
const netdevId = "net0";

/** A forward with the host address that it listens on. */
export interface AddressedForward extends Forward {
  address: string;
}

/** Rows of `info usernet` that are listening forwards; connections and UDP rows are skipped. */
export function parseUsernet(table: string): AddressedForward[] {
  const forwards: AddressedForward[] = [];
  for (const line of table.split(/\r?\n/)) {
    const [protocol, , address, hostPort, , guestPort] = line.trim().split(/\s+/);
    if (protocol !== "TCP[HOST_FORWARD]" || address === undefined) continue;
    const forward = { address, hostPort: Number(hostPort), guestPort: Number(guestPort) };
    if (Number.isInteger(forward.hostPort) && Number.isInteger(forward.guestPort)) forwards.push(forward);
  }
  return forwards.sort((a, b) => a.guestPort - b.guestPort || a.hostPort - b.hostPort);
}

async function monitor(qmp: QmpClient, commandLine: string): Promise<string> {
  const text = await qmp.execute("human-monitor-command", { "command-line": commandLine });
  return typeof text === "string" ? text.trim() : "";
}

/** The forwards that QEMU has now: the table is asked, never remembered. */
export async function readForwards(qmp: QmpClient): Promise<AddressedForward[]> {
  return parseUsernet(await monitor(qmp, "info usernet"));
}

/**
 * Forwards a host port of `address` to `guestPort`, as `portAttempts` has it.
 * @throws BangerError `port_taken` when QEMU could bind none of them.
 */
async function addForward(qmp: QmpClient, address: string, guestPort: number): Promise<void> {
  let answer = "";
  for (const attempt of portAttempts(address, guestPort)) {
    const rule = `tcp:${address}:${await attempt()}-:${guestPort}`;
    answer = await monitor(qmp, `hostfwd_add ${netdevId} ${rule}`);
    if (answer === "") return;
  }
  throw new BangerError("port_taken", `no port of ${address} can be forwarded to ${guestPort}: ${answer}`, {
    hint: `ss -ltnp src ${address}`,
    retry: "later",
  });
}

/** Takes the forward away; one that QEMU does not have is success. */
async function removeForward(qmp: QmpClient, address: string, hostPort: number): Promise<void> {
  const answer = await monitor(qmp, `hostfwd_remove ${netdevId} tcp:${address}:${hostPort}`);
  if (answer === "" || / removed$| not found$/.test(answer)) return;
  throw new BangerError("qmp_refused", `QEMU refused: ${answer}`, { retry: "later" });
}

export interface ForwardDriver {
  ensure(id: VmId, address: string, to: Omit<Forward, "hostPort">): Promise<void>;
  ensureNone(id: VmId, address: string, forward: Forward): Promise<void>;
}

/** Forwards of running VMs. Each call asks QEMU what it has, and again after changing it. */
export function userForwards(controls: VmmControls, own: LoopbackForwards): ForwardDriver {
  return {
    async ensure(id, address, to) {
      const { guestPort, loopback } = to;
      // Without a VMM there is nobody to forward to, whichever way.
      if (loopback !== undefined && controls.require(id)) return own.ensure(id, address, to);
      const control = controls.qemu(id);
      const qmp = await control.client();
      const there = (await readForwards(qmp)).some((forward) => forward.guestPort === guestPort);
      if (!there) await addForward(qmp, address, guestPort);
      await control.refreshForwards();
    },
    async ensureNone(id, address, { hostPort, loopback }) {
      if (loopback !== undefined) return own.ensureNone(id, hostPort);
      if (!controls.isHeld(id)) return;
      const control = controls.qemu(id);
      await removeForward(await control.client(), address, hostPort);
      await control.refreshForwards();
    },
  };
}

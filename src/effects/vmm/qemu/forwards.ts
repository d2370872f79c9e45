/** Loopback port forwards of QEMU's user-mode network, asked of the human monitor through QMP. */
import { sharedRun } from "../../../host/shared-run.js";
import { BangerError } from "../../../lib/errors.js";
import type { Forward } from "../../../model/model.js";
import { portAttempts } from "../../net/ports.js";
import type { Hooks, PortForwards } from "../vmm.js";
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
async function readForwards(qmp: QmpClient): Promise<AddressedForward[]> {
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

/** An answer of QEMU about its forwards is asked for again after this time: others may change them. */
const freshMs = 10_000;

/** The forwards of one QEMU. Each call asks what there is, and again after changing it. */
export class QemuForwards implements PortForwards {
  #seen: PortForwards["seen"] = { is: "unknown", cause: "QEMU has not been asked yet" };
  #readAt = 0;
  readonly #client: () => Promise<QmpClient>;
  readonly #connected: () => boolean;
  readonly #hooks: Pick<Hooks, "clock" | "changed">;

  /** `client` waits for the connection; `connected` says whether there is one now. */
  constructor(
    client: () => Promise<QmpClient>,
    connected: () => boolean,
    hooks: Pick<Hooks, "clock" | "changed">,
  ) {
    this.#client = client;
    this.#connected = connected;
    this.#hooks = hooks;
  }

  /** As QEMU last told them; an old answer is asked for again in the background. */
  get seen(): PortForwards["seen"] {
    const age = this.#hooks.clock.now() - this.#readAt;
    if (this.#connected() && age >= freshMs) void this.refresh();
    return this.#seen;
  }

  /** Asks QEMU now; never rejects, since an error is what is then seen. */
  readonly refresh = sharedRun(async () => {
    let seen: PortForwards["seen"];
    this.#readAt = this.#hooks.clock.now();
    try {
      seen = { is: "present", list: await readForwards(await this.#client()) };
    } catch (error) {
      seen = { is: "unknown", cause: (error as Error).message };
    }
    const different = JSON.stringify(seen) !== JSON.stringify(this.#seen);
    this.#seen = seen;
    if (different) this.#hooks.changed();
  });

  async ensure(address: string, guestPort: number): Promise<void> {
    const qmp = await this.#client();
    const there = (await readForwards(qmp)).some((forward) => forward.guestPort === guestPort);
    if (!there) await addForward(qmp, address, guestPort);
    await this.refresh();
  }

  async ensureNone(address: string, hostPort: number): Promise<void> {
    await removeForward(await this.#client(), address, hostPort);
    await this.refresh();
  }
}

/** VMs that are wanted only as long as the client that creates them is there, as `vm run --rm` does. */
import type { VmHold } from "../contract/guest.js";
import { decide } from "../core/decide.js";
import { createdBy, isLive } from "../core/refs.js";
import { BangerError, errorBody } from "../lib/errors.js";
import { canTellWhy } from "../model/kept.js";
import type { ApiDeps, Handle } from "./route.js";
import { silence, type Upgrades } from "./streams.js";

export class Holds {
  /** Connections that hold, by the id of the create command. */
  readonly #connections = new Map<string, number>();
  /** @throws BangerError `client_gone` unless a client holds what this command is about to create */
  require(commandId: string): void {
    if (this.#connections.has(commandId)) return;
    throw new BangerError("client_gone", "the client that asked for this VM has gone", {
      retry: "later",
    });
  }

  /** Resolves when a connection for the command has ended; true when it was the last one. */
  async held(commandId: string, gone: AbortSignal): Promise<boolean> {
    this.#connections.set(commandId, (this.#connections.get(commandId) ?? 0) + 1);
    await new Promise<void>((resolve) => {
      if (gone.aborted) resolve();
      else gone.addEventListener("abort", () => resolve(), { once: true });
    });
    const left = (this.#connections.get(commandId) ?? 1) - 1;
    if (left > 0) this.#connections.set(commandId, left);
    else this.#connections.delete(commandId);
    return left === 0;
  }
}

/** A client opens its hold before it creates the VM, so that its death never leaves one behind. */
export function holdRoutes(handle: Handle, deps: ApiDeps, holds: Holds, upgrades: Upgrades): void {
  const { ledger, timeouts, warn } = deps;
  handle<VmHold, unknown>("vmHold", async ({ params, body, reply, gone }) => {
    const commandId = params["ref"] ?? "";
    silence(reply);
    // An end that is the daemon's own leaves VMs as they are.
    if (!(await holds.held(commandId, gone)) || upgrades.closing) return;
    const vm = createdBy(ledger.state, commandId);
    if (vm === undefined || !isLive(vm) || (!body.always && canTellWhy(vm))) return;
    try {
      ledger.commit(decide(ledger.state, { kind: "delete", vmId: vm.id }, timeouts), "request:client-gone");
    } catch (thrown) {
      warn("a VM could not be deleted after its client had gone", {
        vm: vm.id,
        error: errorBody(thrown),
      });
    }
  });
}

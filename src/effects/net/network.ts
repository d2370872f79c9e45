/** What each mode has for a guest's network on the host's side. */
import type { VmId } from "../../model/model.js";
import type { NetPolicy } from "../../model/net-policy.js";

export interface NetworkDriver {
  ensure(id: VmId, address: string, signal: AbortSignal): Promise<void>;
  ensureNone(id: VmId, signal: AbortSignal): Promise<void>;
  ensurePolicy(id: VmId, address: string, net: NetPolicy, signal: AbortSignal): Promise<void>;
  /** The guest reaches nothing. */
  ensureNoPolicy(id: VmId, signal: AbortSignal): Promise<void>;
}

/** What the drivers of system mode know of the root helper: its methods, whoever carries the calls. */
import type { MethodName, Params, Result } from "../../../helper/contract.js";

export interface HelperCalls {
  /**
   * Has the helper do it. Every method can be asked for twice, so that a call that was cut off may be made again.
   * @throws BangerError `helper_unreachable`, `helper_lost` for a call that was cut off, `helper_refused` with its rule,
   *   what else the helper reports, and the signal's own reason.
   */
  call<M extends MethodName>(method: M, params: Params<M>, signal: AbortSignal): Promise<Result<M>>;
}

/** What the drivers of system mode know of the root helper: its methods, whoever carries the calls. */
import type { MethodName, Params, Result } from "../../helper/contract.js";

export interface HelperCalls {
  /** @throws BangerError with what the helper or its tools said; `helper_unreachable` where none answers. */
  call<M extends MethodName>(method: M, params: Params<M>, signal: AbortSignal): Promise<Result<M>>;
}

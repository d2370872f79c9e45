/** What every method of the helper is: a function of validated parameters and of the host as the helper may touch it. */
import type { MethodName, Params, Result } from "./contract.js";
import type { Metadata } from "./metadata.js";
import type { RunTool } from "./tools.js";

export interface HelperContext {
  metadata: Metadata;
  /** Runs a root-owned program by its open file; see tools.ts. */
  run: RunTool;
  /** Aborted when the call's deadline has passed. */
  signal: AbortSignal;
}

/** Makes it true; success when it is true already. @throws Refusal, HostFailure, an error of the kernel's */
export type Method<M extends MethodName> = (params: Params<M>, context: HelperContext) => Promise<Result<M>>;

export type MethodTable = { readonly [M in MethodName]: Method<M> };

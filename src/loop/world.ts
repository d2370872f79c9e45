/** What the loop sees of the host: one look, one deed at a time, and wake-ups. The simulation is the other one. */
import type { NewEvent } from "../model/events.js";
import type { Capabilities, Effect, Observed } from "../model/model.js";

export interface PerformContext {
  /** Aborted when the effect's deadline passes or the daemon stops. */
  signal: AbortSignal;
  /** Puts a fact into the log while the effect is at work, such as the stage of a build. */
  note: (event: NewEvent) => void;
}

export interface World {
  readonly capabilities: Capabilities;
  /** One look at the whole host; callers that wait at the same time share it. */
  observe(): Promise<Observed>;
  /** Makes the effect true; success when it is true already. @throws BangerError */
  perform(effect: Effect, context: PerformContext): Promise<void>;
  /** A wake-up carries a stream, never a reason. */
  onWake(listener: (stream: string) => void): void;
  /** Lets go of the host; VMs run on. */
  close(): Promise<void>;
}

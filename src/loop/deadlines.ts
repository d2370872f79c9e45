/** How long each effect may take, in ms, before it is aborted and tried again. */
import type { EffectKind } from "../model/model.js";

const minute = 60_000;
export const deadlinesMs: Record<EffectKind, number> = {
  ensureDisk: 2 * minute,
  ensureRootDevice: minute / 2,
  ensureNoRootDevice: minute / 2,
  ensureBridge: 10_000,
  ensureTapPool: 10_000,
  ensureResolver: 10_000,
  ensureNetwork: 10_000,
  ensureNoNetwork: 10_000,
  ensurePolicy: 10_000,
  ensureNoPolicy: 10_000,
  ensureProcess: minute,
  ensureRunning: 10_000,
  ensureAgentLink: 5_000,
  ensureClock: 10_000,
  ensureDiskSize: 2 * minute,
  ensureForward: 10_000,
  ensureNoForward: 10_000,
  ensureShutdownAsked: 5_000,
  ensureNoProcess: 20_000,
  ensureNoRuntime: 10_000,
  ensureNoDirectory: 2 * minute,
  ensureImage: 60 * minute,
  ensureNoPartialImage: 2 * minute,
  ensureNoImage: 2 * minute,
};

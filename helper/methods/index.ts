/** Every method of the helper. */
import type { MethodTable } from "../method.js";
import { about } from "./about.js";
import { ensureBridge } from "./ensure-bridge.js";
import { ensureNat } from "./ensure-nat.js";
import { ensureNoBridge } from "./ensure-no-bridge.js";
import { ensureNoJail } from "./ensure-no-jail.js";
import { ensureNoNat } from "./ensure-no-nat.js";
import { ensureNoRootDevice } from "./ensure-no-root-device.js";
import { ensureNoTap } from "./ensure-no-tap.js";
import { ensureResolver } from "./ensure-resolver.js";
import { ensureRootDevice } from "./ensure-root-device.js";
import { ensureTap } from "./ensure-tap.js";
import { ensureTapPool } from "./ensure-tap-pool.js";
import { look } from "./look.js";
import { signalVmm } from "./signal-vmm.js";
import { startVmm } from "./start-vmm.js";

export const methodTable: MethodTable = {
  about,
  ensureBridge,
  ensureNat,
  ensureNoBridge,
  ensureNoJail,
  ensureNoNat,
  ensureNoRootDevice,
  ensureNoTap,
  ensureResolver,
  ensureRootDevice,
  ensureTapPool,
  ensureTap,
  look,
  signalVmm,
  startVmm,
};

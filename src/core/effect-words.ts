/** Effects in the words of people, who know nothing of their names. */
import type { EffectKind } from "../model/model.js";

const words: Readonly<Record<EffectKind, string>> = {
  ensureDisk: "preparing its disks",
  ensureRootDevice: "setting up its root device",
  ensureNoRootDevice: "removing its root device",
  ensureNetwork: "setting up its network",
  ensureNoNetwork: "removing its network",
  ensurePolicy: "setting its network policy",
  ensureNoPolicy: "closing its network",
  ensureProcess: "starting its VMM",
  ensureRunning: "resuming its guest",
  ensureClock: "setting its clock",
  ensureAgentLink: "connecting to its guest's agent",
  ensureDiskSize: "growing its disks",
  ensureForward: "forwarding a port",
  ensureNoForward: "ending the forwarding of a port",
  ensureShutdownAsked: "asking its guest to shut down",
  ensureNoProcess: "ending its VMM",
  ensureNoRuntime: "removing its sockets",
  ensureNoDirectory: "removing its files",
  ensureBridge: "setting up the bridge",
  ensureTapPool: "setting up spare network interfaces",
  ensureResolver: "routing names to the daemon",
  ensureImage: "its build",
  ensureNoPartialImage: "removing what is left of a build",
  ensureNoImage: "removing its files",
};

/** What an effect does, as a noun; one that this version does not know goes by its name. */
export const effectText = (kind: string): string => words[kind as EffectKind] ?? kind;

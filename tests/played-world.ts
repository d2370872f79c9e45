/** A world of a test's own making, for the loop. */
import type { PerformContext, World } from "../src/loop/world.js";
import { absentImage, absentVm } from "../src/model/absent.js";
import { absentNetwork, type SeenNetwork } from "../src/model/host-network.js";
import type { Capabilities, Effect, Observed, ObservedVm } from "../src/model/model.js";
import { capabilities } from "./fixtures.js";
import type { ManualClock } from "./manual-clock.js";

/** A world that shows and does what the test says. */
export class PlayedWorld implements World {
  capabilities: Capabilities = capabilities;
  network: SeenNetwork = absentNetwork;
  readonly vms = new Map<string, ObservedVm>();
  looks = 0;
  readonly tries: { effect: Effect; at: number; signal: AbortSignal }[] = [];
  act: (effect: Effect, context: PerformContext) => Promise<void> = async () => {};
  constructor(readonly clock: ManualClock) {}

  async observe(): Promise<Observed> {
    this.looks += 1;
    const nothing = { unlistedVm: absentVm, unlistedImage: absentImage };
    return { vms: this.vms, images: new Map(), network: this.network, ...nothing };
  }
  async perform(effect: Effect, context: PerformContext): Promise<void> {
    this.tries.push({ effect, at: this.clock.now(), signal: context.signal });
    await this.act(effect, context);
  }
  onWake(): void {}
  async close(): Promise<void> {}
}

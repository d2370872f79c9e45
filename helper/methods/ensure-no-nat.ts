/** The VM's address gets out no more; forwarding stays on until the bridge goes, for others may have come to need it. */
import type { Method } from "../method.js";
import { readRules, writeRules } from "../network/firewall.js";
import { guestNetwork } from "../network/network.js";
import { inTurn } from "../network/turns.js";

export const ensureNoNat: Method<"ensureNoNat"> = ({ vmId }, context) =>
  inTurn(context, async () => {
    const network = guestNetwork(context.metadata);
    const { speakers, nats } = await readRules(context, network);
    if (nats.has(vmId)) {
      await writeRules(context, network, { speakers, nats: new Set([...nats].filter((id) => id !== vmId)) });
    }
    return {};
  });

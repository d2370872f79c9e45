/** Takes NAT from the VM's address; forwarding stays on until the bridge goes, since others may need it by now. */
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

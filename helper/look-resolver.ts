/** Where the host's resolver asks for names of VMs. */
import { systemClock } from "../src/lib/clock.js";
import { deadline } from "../src/lib/deadline.js";
import type { Result } from "./contract.js";
import type { HelperContext } from "./method.js";
import { guestNetwork } from "./network/network.js";
import { namesAskedAt } from "./network/resolver.js";

type Seen = Result<"look">["resolver"];

/** A resolver that is stuck keeps nobody from the rest of a look, which is not waited for as long as this. */
const askMs = 2_000;
const silent = "the host's resolver does not answer";

/** An earlier question has no answer yet. */
let stuck = false;

/** What cannot be asked is unknown, with its cause; this never throws but for the call's own deadline. */
export async function lookAtResolver(context: HelperContext): Promise<Seen> {
  if (stuck) return { unknown: silent };
  const asked = namesAskedAt(context, guestNetwork(context.metadata)).catch((cause: unknown): Seen => {
    return { unknown: cause instanceof Error ? cause.message : String(cause) };
  });
  const bound = deadline(systemClock, askMs, () => new Error(silent), context.signal);
  const late = new Promise<Seen>((resolve) =>
    bound.signal.addEventListener("abort", () => {
      stuck = true;
      resolve({ unknown: silent });
    }),
  );
  const free = asked.finally(() => {
    stuck = false;
  });
  const seen = await Promise.race([free, late]).finally(bound.release);
  context.signal.throwIfAborted();
  return seen;
}

/** Whether this host's resolver leads `<name>.vm` to banger: docs/dns-routing.md says how it comes to. */
import { Resolver } from "node:dns/promises";

/** A resolver on the machine itself answers at once; one that is elsewhere does not know `.vm` anyway. */
const deadlineMs = 300;

/** Whether the name resolves to this very address. */
export async function isRouted(name: string, address: string): Promise<boolean> {
  const resolver = new Resolver({ timeout: deadlineMs, tries: 1 });
  try {
    return (await resolver.resolve4(name)).includes(address);
  } catch {
    return false;
  }
}

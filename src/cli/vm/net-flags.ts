/** `--net`, `--allow` and `--deny`: what a guest may reach, as the command line has it. */
import type { VmSet } from "../../contract/contract.js";
import { type NetMode, netModes, targetOf } from "../../model/net-policy.js";
import { usageError } from "../base/check.js";

export const netFlags = {
  net: {
    type: "string",
    valueHint: netModes.join("|"),
    description:
      "What the guest can reach: the internet but not this host or its LAN; only --allow; or the LAN too",
  },
  allow: {
    type: "string",
    valueHint: "HOST[:PORT]",
    description:
      "Allow a name (*.example.com), address or network, or host:PORT on this host's loopback; repeatable",
  },
  deny: {
    type: "string",
    valueHint: "HOST[:PORT]",
    description: "Block a name, address or network; repeatable",
  },
} as const;

type NetChange = NonNullable<NonNullable<VmSet["spec"]>["net"]>;

/** An empty value clears the list. @throws BangerError `usage` */
function entriesOf(flag: "allow" | "deny", values: readonly string[] | undefined): NetChange {
  if (values === undefined) return {};
  const entries = values.filter((value) => value !== "");
  for (const entry of entries) {
    const target = targetOf(entry);
    if (target === undefined || (flag === "deny" && target.kind === "host"))
      throw usageError(`--${flag}: "${entry}" is not HOST[:PORT]`, `--${flag} example.com:443`);
  }
  return { [flag]: entries };
}

const isMode = (text: string): text is NetMode => (netModes as readonly string[]).includes(text);

/** What the flags change of a policy; `nat` is how it was said before there were policies. @throws BangerError `usage` */
export function netChangeOf(
  flags: { net?: string | undefined; nat?: boolean | undefined },
  all: Readonly<Record<string, readonly string[] | undefined>>,
): { net?: NetChange } {
  const { net, nat } = flags;
  if (net !== undefined && !isMode(net))
    throw usageError(`--net: "${net}" is not one of ${netModes.join(", ")}`, "--net public");
  if (net !== undefined && nat === false)
    throw usageError("--net and --no-nat contradict each other", "--net none");
  const mode = net ?? (nat === undefined ? undefined : nat ? "public" : "none");
  const change = {
    ...(mode !== undefined && { mode }),
    ...entriesOf("allow", all["allow"]),
    ...entriesOf("deny", all["deny"]),
  };
  return Object.keys(change).length === 0 ? {} : { net: change };
}

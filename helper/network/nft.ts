/** The rules in nftables. */
import { Type } from "@sinclair/typebox";
import { firewallTable } from "../../src/home/handles.js";
import type { HelperContext } from "../method.js";
import { HostFailure } from "../refusal.js";
import { parseJson } from "./links.js";
import { type NftObject, nftNothing, nftState, nftText } from "./nft-text.js";
import type { Firewall } from "./rules.js";

const Listing = Type.Object({
  nftables: Type.Array(
    Type.Object({
      set: Type.Optional(
        Type.Object({ name: Type.String(), elem: Type.Optional(Type.Array(Type.Unknown())) }),
      ),
      rule: Type.Optional(
        Type.Object({
          family: Type.String(),
          chain: Type.String(),
          comment: Type.Optional(Type.String()),
        }),
      ),
    }),
  ),
});

/** Everything in one of our tables; nothing where it is not there. */
async function list({ run }: HelperContext, family: string): Promise<NftObject[]> {
  const argv = ["--json", "list", "table", family, firewallTable];
  const { status, stdout, stderr } = await run("nft", argv, { goodStatus: [0, 1] });
  if (status === 0) return parseJson("nft", Listing, stdout).nftables as NftObject[];
  if (stderr.includes("No such file or directory")) return [];
  throw new HostFailure("tool_failed", `nft: ${stderr.trim().split("\n")[0] ?? ""}`);
}

export const nft: Firewall = {
  read: async (context, network) => {
    const listed = await Promise.all([list(context, "bridge"), list(context, "inet")]);
    return nftState(context.metadata.home, network, listed.flat());
  },
  write: async ({ run, metadata: { home } }, network, rules) => {
    await run("nft", ["--file", "-"], { input: nftText(home, network, rules) });
  },
  remove: async ({ run }) => {
    await run("nft", ["--file", "-"], { input: nftNothing });
  },
};

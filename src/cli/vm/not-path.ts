/** Whoever types the name of a VM where a path is expected means the VM. */
import { existsSync } from "node:fs";
import { BangerError } from "../../lib/errors.js";
import { shellQuote } from "../../lib/shell.js";
import type { Context } from "../base/context.js";

/** What to throw for `banger vm run NAME` instead of `error`, which says that there is no such path. */
export async function vmInsteadOfPath(
  { client, interrupts }: Context,
  path: string,
  guestCommand: readonly string[] | undefined,
  error: unknown,
): Promise<unknown> {
  const notFound = error instanceof BangerError && error.code === "not_a_repository" && !existsSync(path);
  if (!notFound) return error;
  // Without a daemon nothing is known of the name, and none is started to explain a mistake.
  const vm = await client.call("vmShow", { ref: path, signal: interrupts.signal }).catch(() => undefined);
  if (vm === undefined) return error;
  const exec = `banger vm exec ${vm.name} --`;
  const hint = guestCommand?.length
    ? `${exec} ${guestCommand.map(shellQuote).join(" ")}`
    : `${exec} CMD, or for a shell: banger vm ssh ${vm.name}`;
  return new BangerError("usage", `${path} is an existing VM, and run creates a new one`, { hint });
}

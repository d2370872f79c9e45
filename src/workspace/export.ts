/** Brings home what was changed in a guest checkout: as a patch against what was carried, or its commits as a bundle. */
import type { Writable } from "node:stream";
import { BangerError } from "../errors.js";
import { type Guest, type GuestEnd, scriptFailed } from "./guest.js";
import { bundleScript, patchScript, refusal } from "./scripts.js";

/** Writes a patch for `git apply`; nothing when nothing was changed. @throws BangerError `workspace_missing`, … */
export async function exportPatch(guest: Guest, guestPath: string, output: Writable): Promise<void> {
  const end = await guest.run(patchScript, [guestPath], { stdout: output });
  if (end.status !== 0) throw failure(guest, end, guestPath);
}

/** Writes a git bundle of the commits made in the guest; tells whether there are changes beside them. */
export async function exportCommits(
  guest: Guest,
  guestPath: string,
  output: Writable,
): Promise<{ uncommitted: boolean }> {
  const end = await guest.run(bundleScript, [guestPath], { stdout: output });
  if (end.status !== 0 && end.status !== refusal.incomplete) throw failure(guest, end, guestPath);
  return { uncommitted: end.status === refusal.incomplete };
}

function failure(guest: Guest, end: GuestEnd, guestPath: string): BangerError {
  switch (end.status) {
    case refusal.foreign:
      return new BangerError("workspace_missing", `banger put no repository at ${guestPath} in the guest`, {
        hint: `banger vm workspace prepare ${guest.name} PATH, or say where it is with --guest-path`,
      });
    case refusal.noGit:
      return new BangerError("guest_without_git", "the guest has no git, which tells what was changed", {
        hint: `install it there, such as: banger vm exec ${guest.name} -- apt-get install git`,
      });
    case refusal.noCommits:
      return new BangerError("no_commits", `no commit was made at ${guestPath} since it was prepared`, {
        hint: "leave --commits away for a patch of all changes",
      });
    default:
      return scriptFailed(guest, "the export", end);
  }
}

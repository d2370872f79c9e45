/** Brings home what was changed in a guest checkout: as a patch against what was carried, or its commits as a bundle. */
import type { Writable } from "node:stream";
import { BangerError } from "../lib/errors.js";
import { type Guest, type GuestEnd, scriptFailed } from "./guest.js";
import { type NoteKind, noteKinds } from "./guest-git.js";
import { installGit } from "./guest-packages.js";
import { bundleScript, patchScript, refusal } from "./scripts.js";

/**
 * Writes a patch for `git apply`; nothing when nothing was changed. Yields sentences on what is not in it as it is in
 * the guest. @throws BangerError `workspace_missing`, …
 */
export async function exportPatch(guest: Guest, guestPath: string, output: Writable): Promise<string[]> {
  const end = await guest.run(patchScript, [guestPath], { stdout: output });
  if (end.status !== 0) throw failure(guest, end, guestPath);
  return notes(end.stderr);
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

const sentences: Readonly<Record<NoteKind, string>> = {
  nested: "is a repository of its own: the patch has its files, without their history",
  broken: "is a repository of its own that git cannot read: it is not in the patch",
  special: "is a pipe, socket or device now: it is not in the patch",
  refused: "has a name that git does not take: it is not in the patch",
  module: "was a submodule and is none any more: what became of it is not in the patch",
  filter: "is not run in the guest: the patch has the file as it is there",
};
const mostNotes = 20;

/** What the scripts noted, as sentences; a guest's words, which may hold anything. */
function notes(stderr: string): string[] {
  const found = stderr.split("\n").flatMap((line) => {
    const [, kind, path = ""] = /^note ([a-z]+) (.+)$/.exec(line) ?? [];
    const known = noteKinds.find((each) => each === kind);
    if (known === undefined) return [];
    return [`${path.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?")} ${sentences[known]}`];
  });
  const told = [...new Set(found)];
  const more = told.length - mostNotes;
  return more > 0 ? [...told.slice(0, mostNotes), `… and ${more} more`] : told;
}

function failure(guest: Guest, end: GuestEnd, guestPath: string): BangerError {
  switch (end.status) {
    case refusal.foreign:
      return new BangerError("workspace_missing", `banger put no repository at ${guestPath} in the guest`, {
        hint: `banger vm workspace prepare ${guest.name} PATH, or say where it is with --guest-path`,
      });
    case refusal.noGit:
      return new BangerError("guest_without_git", "the guest has no git, which tells what was changed", {
        hint: installGit(guest, end.stderr),
      });
    case refusal.noCommits:
      return new BangerError("no_commits", `no commit was made at ${guestPath} since it was prepared`, {
        hint: "leave --commits away for a patch of all changes",
      });
    case refusal.unfinished:
      return new BangerError("workspace_unfinished", `a prepare of ${guestPath} is under way, or broke off`, {
        hint: `let it finish, or run it again: banger vm workspace prepare ${guest.name} PATH`,
        retry: "later",
      });
    default:
      return scriptFailed(guest, "the export", end);
  }
}

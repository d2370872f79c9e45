/** One prepare of a place in a guest at a time: a script that runs there for as long holds it. */
import { PassThrough, Writable } from "node:stream";
import { BangerError } from "../lib/errors.js";
import { type Guest, scriptFailed } from "./guest.js";

const busy = 72;

/**
 * $1 is what is held, until there is no more input. Who holds it is told by pid and start time; one that was killed, or
 * went with the guest, holds nothing. A lock is a link, which is there with its content or not at all.
 */
const holdScript = `set -u
lock=$1.lock
started() { cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null; }
mkdir -p "\${1%/*}" || exit
me=$$-$(started $$)
if ! ln -s "$me" "$lock" 2>/dev/null; then
  if [ -L "$lock" ]; then
    owner=$(readlink "$lock")
    [ "$owner" != "\${owner%%-*}-$(started "\${owner%%-*}")" ] || exit ${busy}
    rm -f "$lock"
    ln -s "$me" "$lock" 2>/dev/null || exit ${busy}
  else
    ln -s "$me" "$lock" || exit
  fi
fi
trap 'rm -f "$lock"' EXIT
trap 'exit 129' HUP
trap 'exit 143' TERM
echo held
cat >/dev/null
`;

/**
 * Does the work while nobody else works on the same place in the guest. The script goes with its connection, and with it
 * the hold.
 * @throws BangerError `workspace_busy`
 */
export async function alone<T>(
  guest: Guest,
  { guestPath, unpacked }: { guestPath: string; unpacked: string },
  work: () => Promise<T>,
): Promise<T> {
  const stdin = new PassThrough();
  let hold: () => void = () => {};
  const held = new Promise<undefined>((resolve) => {
    hold = () => resolve(undefined);
  });
  const stdout = new Writable({
    write(_chunk, _encoding, done) {
      hold();
      done();
    },
  });
  const holding = guest.run(holdScript, [unpacked], { stdin, stdout });
  const refused = await Promise.race([held, holding]);
  if (refused?.status === busy) {
    throw new BangerError("workspace_busy", `${guestPath} is being prepared by another command`, {
      hint: `try again when that one has finished, or use another --guest-path`,
      retry: "later",
    });
  }
  if (refused !== undefined) throw scriptFailed(guest, `looking at ${guestPath}`, refused);
  try {
    return await work();
  } finally {
    stdin.end();
    await holding.catch(() => undefined);
  }
}

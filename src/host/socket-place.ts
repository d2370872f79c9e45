/** Unix sockets by the descriptor of their directory: however long its path is, and only where nobody else can put one. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { basename, dirname } from "node:path";
import { BangerError } from "../lib/errors.js";

const writableByOthers = 0o022;

export interface SocketPlace {
  /** What names a socket of this directory in at most 107 bytes (unix(7)), as long as the place is open. */
  pathOf(name: string): string;
  close(): void;
}

/** A user id; null where the directory's parents are root's, who gave it to somebody. */
export type SocketOwner = number | null;

/**
 * Opens the directory and looks at what was opened, so that nobody can exchange it in between.
 * @throws BangerError `runtime_unsafe` where another user could have made the sockets in it, and what `open` says
 */
export function openSocketPlace(
  directory: string,
  owner: SocketOwner = process.getuid?.() ?? 0,
): SocketPlace {
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const { uid, mode } = fstatSync(descriptor);
  const theirs = owner !== null && uid !== owner;
  if (theirs || (mode & writableByOthers) !== 0) {
    closeSync(descriptor);
    const whose = theirs ? `belongs to the user with id ${uid}, not to ${owner}` : "is open to other users";
    throw new BangerError("runtime_unsafe", `${directory} ${whose}: anyone could be answering there`, {
      hint: theirs ? `ls -ld ${directory}` : `chmod go-w ${directory}`,
    });
  }
  return {
    pathOf: (name) => `/proc/self/fd/${descriptor}/${name}`,
    close: () => closeSync(descriptor),
  };
}

/**
 * A connection to the socket at `path`. The address is used within `connect` itself, so that the directory can be
 * let go at once. @throws as `openSocketPlace`; what the connection meets is its own `error`.
 */
export function connectSocket(path: string, owner?: SocketOwner): Socket {
  const place = openSocketPlace(dirname(path), owner);
  try {
    return connect(place.pathOf(basename(path)));
  } finally {
    place.close();
  }
}

/** Whom system mode serves: an ordinary account of the host. */
import { BangerError } from "../lib/errors.js";
import type { SystemHost } from "./host.js";

export interface Owner {
  uid: number;
  gid: number;
  name: string;
  /** Their home directory. */
  directory: string;
}

/** What systemd takes for a user's name in a unit, and no more than useradd makes. */
const plainName = /^[a-z_][a-z0-9_-]{0,31}$/;

/**
 * The owner: the one that is named, else whoever called sudo.
 * @throws BangerError `owner_missing`, `owner_unknown`, `owner_is_root`
 */
export async function findOwner(
  { run }: Pick<SystemHost, "run">,
  named: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<Owner> {
  const name = named ?? env["SUDO_USER"];
  const hint = "banger system install --owner USER";
  if (name === undefined || (named === undefined && name === "root")) {
    throw new BangerError("owner_missing", "who should system mode serve?", { hint });
  }
  const { status, stdout } = plainName.test(name)
    ? await run("getent", ["passwd", "--", name])
    : { status: 2, stdout: "" };
  const [login = "", , uid = "", gid = "", , directory = ""] = stdout.trim().split(":");
  if (status !== 0 || login !== name || !directory.startsWith("/")) {
    throw new BangerError("owner_unknown", `this host has no usable account "${name}"`, { hint });
  }
  if (uid === "0") {
    const message = "root cannot own system mode: its daemon has no privileges, the helper has them";
    throw new BangerError("owner_is_root", message, { hint });
  }
  return { uid: Number(uid), gid: Number(gid), name, directory };
}

/** How git gets into a guest that has none: with the package manager that it has. */
import type { Guest } from "./guest.js";

/** What each is typed as. Package lists are fetched first: a fresh image has none. */
const installers: Readonly<Record<string, string>> = {
  "apt-get": "sh -c 'apt-get update && apt-get install -y git'",
  apk: "apk add git",
  dnf: "dnf install -y git",
  microdnf: "microdnf install -y git",
  yum: "yum install -y git",
  zypper: "zypper --non-interactive install git",
  pacman: "pacman -Sy --noconfirm git",
};

/** Shell text: names the guest's package manager on stderr. */
export const tellInstaller =
  `for each in ${Object.keys(installers).join(" ")}; do ` +
  '! command -v $each >/dev/null || { echo "installer $each" >&2; break; }; done';

/** The command that installs git, as `tellInstaller` told of the guest. */
export function installGit(guest: Guest, told: string): string {
  const [, name = ""] = /^installer ([a-z-]+)$/m.exec(told) ?? [];
  const command = installers[name];
  return command === undefined
    ? "it has no package manager that banger knows; use another image: banger image list"
    : `banger vm exec ${guest.name} -- ${command}`;
}

/** Has mise, where the guest has it, install the tools that a repository names, while its user already works. */
import { posix } from "node:path";
import type { Guest } from "./guest.js";
import type { Plan } from "./plan.js";

const configFiles = new Set([".mise.toml", "mise.toml", ".tool-versions"]);
/** Below the home of the guest's user. */
const logFile = ".local/state/banger/mise.log";
export const toolsLog = `~/${logFile}`;

/** $1 checkout. A session of its own keeps it alive when the script's ends. */
const script = `set -u
PATH="$PATH:$HOME/.local/bin:/usr/local/bin"
export PATH
command -v mise >/dev/null || exit
mkdir -p "$HOME/${posix.dirname(logFile)}" && cd "$1" || exit
setsid sh -c 'mise trust --yes; MISE_YES=1 exec mise install' >"$HOME/${logFile}" 2>&1 </dev/null &
`;

/** Whether it was begun. If not, that is not a failure: most guests have no mise, and most repositories no use for it. */
export async function startTools(guest: Guest, plan: Plan, guestPath: string): Promise<boolean> {
  if (!plan.files.some((path) => configFiles.has(path))) return false;
  return (await guest.run(script, [guestPath])).status === 0;
}

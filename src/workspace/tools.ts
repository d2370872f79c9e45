/** Has mise, where the guest has it, install the tools that a repository names, while its user already works. */
import type { Guest } from "./guest.js";
import type { Plan } from "./plan.js";

const configFiles = new Set([".mise.toml", "mise.toml", ".tool-versions"]);
export const toolsLog = "/root/.local/state/banger/mise.log";

/** $1 checkout, $2 log. */
const script = `set -u
PATH="$PATH:/root/.local/bin:/usr/local/bin"
command -v mise >/dev/null || exit
mkdir -p "\${2%/*}" && cd "$1" || exit
setsid sh -c 'mise trust --yes; MISE_YES=1 exec mise install' >"$2" 2>&1 </dev/null &
`;

/** Whether it was begun. That it was not is no failure: most guests have no mise, and most repositories no use for it. */
export async function startTools(guest: Guest, plan: Plan, guestPath: string): Promise<boolean> {
  if (!plan.files.some((path) => configFiles.has(path))) return false;
  return (await guest.run(script, [guestPath, toolsLog])).status === 0;
}

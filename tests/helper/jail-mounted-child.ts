/** In a mount namespace of its own: mounts things in a VM's jail, has it removed, and says what is left. */
import { execFileSync } from "node:child_process";
import { mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { removeTree } from "../../helper/jail/tree.js";
import { ensureNoJail } from "../../helper/methods/ensure-no-jail.js";
import { HostFailure } from "../../helper/refusal.js";
import { vmHandles } from "../../src/home/handles.js";
import { contextFor } from "./device-place.js";

const [top = "", vmId = "", kept = "", only] = process.argv.slice(2);
const context = contextFor(top);
const { jailRoot, jail } = vmHandles(context.metadata.home, vmId);
const mount = (...argv: string[]) => execFileSync("mount", argv);

mkdirSync(`${jailRoot}/bound`, { recursive: true });
mount("--bind", kept, `${jailRoot}/bound`);
if (only === "tree") {
  // As if it had been mounted after the others were unmounted: the same file system, another mount.
  const { signal } = new AbortController();
  await removeTree(openSync(`${jail}/..`, "r"), Buffer.from(`banger-${vmId}`), signal).then(
    () => console.log("removed"),
    (error: unknown) => console.log(error instanceof HostFailure ? error.code : error),
  );
} else {
  mkdirSync(`${jailRoot}/a b`);
  mount("-t", "tmpfs", "none", `${jailRoot}/a b`);
  mkdirSync(`${jailRoot}/a b/deep`);
  mount("-t", "tmpfs", "none", `${jailRoot}/a b/deep`);
  mount("-t", "tmpfs", "none", `${jailRoot}/a b/deep`);
  writeFileSync(`${jailRoot}/file`, "");
  mount("--bind", `${kept}/file`, `${jailRoot}/file`);
  symlinkSync(kept, `${jailRoot}/link`);
  await ensureNoJail({ vmId }, context);
  const left = readFileSync("/proc/self/mountinfo", "utf8").split(jail).length - 1;
  console.log(`${left} mounts left`);
}

/** What the units run, and whether root alone can change it: the helper runs as root, and so does what it starts. */
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  realpathSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Refusal } from "../../helper/refusal.js";
import { tools } from "../../helper/tools.js";
import { openTrusted } from "../../helper/trusted.js";
import { BangerError } from "../lib/errors.js";
import type { SystemHost } from "./host.js";
import type { Programs } from "./units.js";

/** What the units put into a line of their own. */
const plainPath = /^\/[\w./+@-]+$/;
/** Directories that the helper's unit does not see. */
const hidden = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"];

const writableByOthers = 0o022;

/** The Node and the tree that run now. */
export async function runningPrograms({ run }: Pick<SystemHost, "run">): Promise<Programs> {
  const kvmGroup = (await run("getent", ["group", "kvm"])).status === 0;
  const tree = realpathSync(fileURLToPath(new URL("../../../", import.meta.url)));
  const { paths } = tools.iptables;
  const legacyIptables = /legacy/.test(paths.find((path) => existsSync(path)) ?? "");
  return { node: realpathSync(process.execPath), tree, kvmGroup, legacyIptables };
}

const reinstall =
  "sudo make install, in the directory that banger was built in; then: sudo banger system install";

/**
 * Nobody but root can have made these programs what they are, and the helper's unit sees them.
 * @throws BangerError `program_untrusted`
 */
export function checkPrograms({ node, tree }: Programs, open = openTrusted): void {
  for (const path of [node, tree]) {
    if (plainPath.test(path) && !hidden.some((place) => path.startsWith(place))) continue;
    const message = `system mode cannot run from ${path}: its services see no home and no temporary directory`;
    throw new BangerError("program_untrusted", message, { hint: reinstall });
  }
  checkProgram(node, open, "install Node for the whole machine, as root: apt-get install nodejs");
  checkProgram(`${tree}/package.json`, open);
  const foreign = firstForeign(tree, tree, 0);
  if (foreign !== undefined) {
    throw new BangerError("program_untrusted", `${foreign}: the helper runs this as root`, {
      hint: reinstall,
    });
  }
}

/** One program, by its real path. @throws BangerError `program_untrusted` */
export function checkProgram(path: string, open = openTrusted, hint = reinstall): void {
  try {
    closeSync(open(path, constants.O_RDONLY));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new BangerError("program_untrusted", `system mode does not run ${path}: ${error.message}`, {
      hint: error.hint ?? hint,
      cause: error,
    });
  }
}

/**
 * The first entry below `directory` that another than `uid` could have put there, with what is wrong with it.
 * Symlinks are allowed that stay in `tree`.
 */
export function firstForeign(directory: string, tree: string, uid: number): string | undefined {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    const found = lstatSync(path);
    if (found.uid !== uid) return `${path} belongs to uid ${found.uid}`;
    if (found.isSymbolicLink()) {
      const target = resolve(dirname(path), readlinkSync(path));
      if (target !== tree && !target.startsWith(`${tree}/`)) return `${path} leads out of ${tree}`;
    } else if ((found.mode & writableByOthers) !== 0) return `${path} can be written by others`;
    else if (found.isDirectory()) {
      const below = firstForeign(path, tree, uid);
      if (below !== undefined) return below;
    }
  }
  return undefined;
}

/** Where one banger keeps its things, from the XDG variables. Light: every command of the CLI loads it. */
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Home } from "./handles.js";

/** The variable's value when it is an absolute path: XDG says that others are to be ignored. */
const absolute = (value: string | undefined): string | undefined =>
  value !== undefined && isAbsolute(value) ? value : undefined;

/** The five places of the banger that `env` belongs to; two different state directories share nothing. */
export function homeFrom(env: NodeJS.ProcessEnv): Home {
  const user = absolute(env["HOME"]) ?? homedir();
  const state = join(absolute(env["XDG_STATE_HOME"]) ?? join(user, ".local/state"), "banger");
  const runtimeBase = absolute(env["XDG_RUNTIME_DIR"]) ?? "/tmp";
  const hash = createHash("sha256").update(state).digest("hex").slice(0, 8);
  return {
    state,
    data: join(absolute(env["XDG_DATA_HOME"]) ?? join(user, ".local/share"), "banger"),
    cache: join(absolute(env["XDG_CACHE_HOME"]) ?? join(user, ".cache"), "banger"),
    config: join(absolute(env["XDG_CONFIG_HOME"]) ?? join(user, ".config"), "banger"),
    runtime: join(runtimeBase, `banger-${process.getuid?.() ?? 0}-${hash}`),
  };
}

/** What bin/banger runs: the CLI, from Node's compile cache where Node has one. */
import module from "node:module";

// Node 22 and later have it.
(module as { enableCompileCache?: () => void }).enableCompileCache?.();
const { runCli } = await import("./main.js");
await runCli();

/** `banger doctor`. Everything it needs is loaded here and nowhere else in the CLI. */
import { doctorChecks } from "../doctor/doctor.js";
import { readHost } from "../doctor/host.js";
import { command } from "./base/command.js";
import { print, printJson } from "./base/context.js";
import { doctorText } from "./render/doctor.js";
import { styleFor } from "./render/style.js";
import { programVersion } from "./version.js";

export const doctor = command({
  summary: "Check that this machine has what banger needs; exit status 1 if a check fails",
  usage: "[flags]",
  examples: ["banger doctor", "banger doctor --json"],
  flags: {},
  async run(flags, { context }) {
    const searchPath = context.env["PATH"] ?? "";
    const checks = doctorChecks(
      await readHost(context, context.client.passive, searchPath, programVersion()),
    );
    const ok = checks.every(({ status }) => status !== "fail");
    if (context.json) await printJson(context, { ok, checks });
    else await print(context, doctorText(checks, styleFor(context.stdout, context.env)));
    return ok ? 0 : 1;
  },
});

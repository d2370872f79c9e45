/** `banger vm kill --unknown`: ends VMs that run in this home and that the log does not know. */
import { BangerError, errorBody } from "../../lib/errors.js";
import { usageError } from "../base/check.js";
import { type Context, call, print, printJson } from "../base/context.js";
import { errorText } from "../render/error.js";
import { styleFor } from "../render/style.js";
import { type Result, resultJson } from "./result.js";

/** Ends each of these, whose disks stay; whether all went well. */
export async function killUnknown(
  context: Context,
  ids: readonly string[],
  quiet: boolean,
): Promise<boolean> {
  if (ids.length === 0) throw usageError("ID is missing", "banger vm list --unknown shows them");
  const results: Result[] = [];
  for (const ref of new Set(ids)) {
    const ended = await call(context, "unknownVmKill", { ref }).catch((error: unknown) =>
      BangerError.from(errorBody(error)),
    );
    const failed = ended instanceof BangerError;
    results.push({
      ref,
      name: ref,
      id: failed ? undefined : ended.id,
      end: failed ? ended : ("done" as const),
    });
    if (failed) context.stderr.write(errorText(ended, styleFor(context.stderr, context.env), ref));
    else if (!quiet && !context.json) {
      const disks = ended.directory === null ? "" : `; its disks stay in ${ended.directory}`;
      await print(context, `${ref} killed${disks}\n`);
    }
  }
  if (context.json)
    await printJson(
      context,
      results.map((result) => resultJson(result, "killed")),
    );
  return results.every(({ end }) => end === "done");
}

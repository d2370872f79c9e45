/** `banger vm list --unknown`: VMs that run in this home and that the log does not know. */
import type { UnknownVm } from "../../contract/unknown.js";
import { errorBody } from "../../lib/errors.js";
import { type Context, call, print, printJson, say } from "../base/context.js";
import { styleFor } from "../render/style.js";
import { table } from "../render/table.js";

/** Asked beside a list of VMs. A list is one without the answer, too: `banger doctor` says why. */
export const unknownVms = (context: Context): Promise<UnknownVm[]> =>
  call(context, "unknownVmList").catch((error: unknown) => {
    // `not_found`: a daemon from before there was such a question.
    if (["not_found", "host_failed"].includes(errorBody(error).code)) return [];
    throw error;
  });

/** Below a list of VMs: that there are some which are not in it. */
export function tellUnknown(context: Context, unknown: readonly UnknownVm[]): void {
  const some = unknown.length === 1 ? "a VM runs" : `${unknown.length} VMs run`;
  if (unknown.length > 0)
    say(context, `banger: ${some} here that are not in the log\n  try: banger vm list --unknown`);
}

/** `vm list --unknown`. */
export async function listUnknown(context: Context, quiet: boolean): Promise<void> {
  const unknown = await call(context, "unknownVmList");
  if (context.json) return printJson(context, unknown);
  if (quiet) return print(context, unknown.map(({ id }) => `${id}\n`).join(""));
  const rows = unknown.map(({ id, pid, directory }) => [id, `${pid}`, directory ?? ""]);
  const style = styleFor(context.stdout, context.env);
  await print(context, table(["ID", "PID", "DIRECTORY"], rows, { style, width: undefined }));
  if (unknown.length > 0) say(context, "they are left alone; to end one: banger vm kill --unknown ID");
}

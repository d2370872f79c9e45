/** How a command ended for one of its VMs. */
import { BangerError } from "../../lib/errors.js";

/** One VM's line of the report; `end` comes when it is known how the command ended for it. */
export interface Result {
  ref: string;
  name: string;
  id: string | undefined;
  end: "done" | BangerError | undefined;
}

/** A result as `--json` has it. */
export const resultJson = ({ ref, name, id, end }: Result, done: string) =>
  end instanceof BangerError
    ? { ref, ...(id !== undefined && { id, name }), ok: false, error: end.toBody() }
    : { ref, id, name, ok: end === "done", result: done };

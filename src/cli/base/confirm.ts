/** A question before something is taken away, asked in one line and answered by "y" alone. */
import { createInterface } from "node:readline";
import { BangerError } from "../../lib/errors.js";
import type { Context } from "./context.js";

/** Whether the user says yes. @throws BangerError `not_confirmed` where there is no terminal; `instead` does not ask */
export async function confirmed(context: Context, question: string, instead: string): Promise<boolean> {
  const { stdin, stderr, interrupts } = context;
  if (stdin.isTTY !== true || stderr.isTTY !== true) {
    throw new BangerError("not_confirmed", "there is no terminal to confirm on", { hint: instead });
  }
  const lines = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      const interrupted = () => {
        // The terminal shows ^C behind the question, and whatever comes next begins a line of its own.
        stderr.write("\n");
        reject(interrupts.signal.reason);
      };
      interrupts.signal.addEventListener("abort", interrupted, { once: true });
      lines.once("close", () => resolve(false));
      lines.question(`${question} [y/N] `, (answer) => resolve(/^\s*y(es)?\s*$/i.test(answer)));
    });
  } finally {
    lines.close();
  }
}

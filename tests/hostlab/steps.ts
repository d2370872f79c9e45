/** The steps of a file in one lab: each goes on where the one before stopped, and has a limit; a failure is the last one. */
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Lab } from "./lab.js";

/** What a step may take on a slow machine, and what making the lab's image and booting it may. */
const stepMs = 8 * 60_000;
const bootMs = 20 * 60_000;

/** The work's end, or a failure when it does not come in time: nobody waits for the work then. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const enough = new AbortController();
  const late = pause(ms, undefined, { signal: enough.signal }).then(() => {
    throw new Error(`it took longer than ${ms / 60_000} minutes`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    enough.abort();
    late.catch(() => undefined);
  }
}

type Body = (t: TestContext) => Promise<void>;
type Step = (name: string, body: Body, skip?: string | false) => void;

/** Has the file's lab booted before its first step, and gone after its last. */
export function stepsInLab(booted: (lab: Lab) => void): Step {
  let lab: Lab;
  // What a step needs of those before it is there only if they did not fail.
  let failed = false;
  before(async () => {
    lab = await within(bootMs, Lab.boot());
    booted(lab);
  });
  after(() => lab?.dispose());
  return (name, body, skip = false) =>
    test(name, { skip }, async (t) => {
      if (failed) return t.skip("a step before failed");
      failed = true;
      try {
        await within(stepMs, body(t));
        failed = false;
      } finally {
        if (failed) t.diagnostic(await lab.lastWords().catch(String));
      }
    });
}

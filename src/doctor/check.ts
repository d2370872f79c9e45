/** A finding of the doctor's, and the facts that it is judged by. */
import { type ErrorBody, errorBody } from "../lib/errors.js";

export interface Check {
  name: string;
  status: "pass" | "warn" | "fail";
  detail: string;
  /** What to type or change; only where the check did not pass. */
  hint?: string;
}

export const pass = (name: string, detail: string): Check => ({ name, status: "pass", detail });
const amiss =
  (status: "warn" | "fail") =>
  (name: string, detail: string, hint: string): Check => {
    return { name, status, detail, hint };
  };
export const warn = amiss("warn");
export const fail = amiss("fail");

/** A value, or why it could not be had. */
export type Fact<T> = { ok: T } | { failed: ErrorBody };

/** Judges a fact that was had; one that was not fails with its own hint. */
export function judge<T>(name: string, fact: Fact<T>, hint: string, about: (value: T) => Check): Check {
  return "ok" in fact ? about(fact.ok) : fail(name, fact.failed.message, fact.failed.hint ?? hint);
}

/** What `look` yields, as a fact. */
export async function factOf<T>(look: () => T | Promise<T>): Promise<Fact<T>> {
  try {
    return { ok: await look() };
  } catch (thrown) {
    return { failed: errorBody(thrown) };
  }
}

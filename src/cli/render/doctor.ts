/** The doctor's findings as lines. */
import type { Check } from "../../doctor/check.js";
import { clean, type Style } from "./style.js";

export function doctorText(checks: readonly Check[], style: Style): string {
  const width = Math.max(0, ...checks.map(({ name }) => name.length));
  const paint = { pass: style.green, warn: style.yellow, fail: style.red };
  const lines = checks.map(({ name, status, detail, hint }) => {
    const line = `${paint[status](status)}  ${name.padEnd(width)}  ${clean(detail)}\n`;
    return hint === undefined
      ? line
      : `${line}      ${" ".repeat(width)}  ${style.dim("try:")} ${clean(hint)}\n`;
  });
  const count = (status: Check["status"]): number => checks.filter((check) => check.status === status).length;
  return `${lines.join("")}\n${count("pass")} passed, ${count("warn")} warned, ${count("fail")} failed\n`;
}

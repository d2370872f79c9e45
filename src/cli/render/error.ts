/** An error as its two lines: what failed, and what to type. */
import { errorBody } from "../../errors.js";
import type { Style } from "./style.js";

/** `name` is the VM that failed, where one of many did. */
export function errorText(thrown: unknown, style: Style, name?: string): string {
  const { message, hint } = errorBody(thrown);
  const whose = name === undefined ? "" : `${name}: `;
  const first = `${style.red("banger:")} ${whose}${printable(message)}\n`;
  return hint === undefined ? first : `${first}  try: ${printable(hint)}\n`;
}

export const errorJson = (thrown: unknown): string => `${JSON.stringify({ error: errorBody(thrown) })}\n`;

/** Line breaks stay (a daemon's last words have them), other control characters go. */
const printable = (text: string): string => text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, "?");

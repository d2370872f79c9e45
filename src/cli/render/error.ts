/** An error as its two lines: what failed, and what to type. */
import { errorBody } from "../../lib/errors.js";
import { cleanLines, jsonText, type Style } from "./style.js";

/** `name` is the VM that failed, where one of many did. */
export function errorText(thrown: unknown, style: Style, name?: string): string {
  const { message, hint } = errorBody(thrown);
  const whose = name === undefined ? "" : `${name}: `;
  const first = `${style.red("banger:")} ${whose}${cleanLines(message)}\n`;
  return hint === undefined ? first : `${first}  try: ${cleanLines(hint)}\n`;
}

export const errorJson = (thrown: unknown): string => `${jsonText({ error: errorBody(thrown) })}\n`;

/** Pure: the tables of error codes in docs/troubleshooting.md, from the one in the code. */

import { type CodeTexts } from "../src/lib/code-texts.js";
import { errorCodes } from "../src/lib/error-codes.js";

const begin = "<!-- codes: npm run docs makes them from src/lib/error-codes.ts -->\n";
const end = "<!-- end of codes -->\n";

/** Codes that mean the same share a row. */
function table(codes: CodeTexts): string {
  const rows = new Map<string, string[]>();
  for (const [code, [meaning, fix]] of Object.entries(codes)) {
    const rest = `${meaning} | ${fix}`;
    rows.set(rest, [...(rows.get(rest) ?? []), `\`${code}\``]);
  }
  const lines = [...rows].map(([rest, names]) => `| ${names.join(", ")} | ${rest} |\n`);
  return `| code | meaning | fix |\n|---|---|---|\n${lines.join("")}`;
}

/** The page with its tables made anew; the rest of it is written by hand. */
export function withCodes(page: string): string {
  const [before, rest = ""] = page.split(begin);
  const after = rest.split(end)[1];
  if (after === undefined) throw new Error("docs/troubleshooting.md has no place for the codes");
  const chapters = Object.entries(errorCodes).map(([title, codes]) => `### ${title}\n${table(codes)}`);
  return `${before}${begin}${chapters.join("\n")}${end}${after}`;
}

/** Writes what the documentation has from the code: `npm run docs`. */
import { readFileSync, writeFileSync } from "node:fs";
import { withCodes } from "./codes.js";
import { manText } from "./man.js";
import { openApiText } from "./openapi.js";

const root = new URL("../../", import.meta.url);
const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version: string };
const troubleshooting = new URL("docs/troubleshooting.md", root);
writeFileSync(troubleshooting, withCodes(readFileSync(troubleshooting, "utf8")));
writeFileSync(new URL("docs/openapi.json", root), openApiText(version));
writeFileSync(new URL("docs/banger.1", root), await manText(version));

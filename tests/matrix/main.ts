/** `make matrix`: what one machine can run of the Nodes and Debians that banger is promised for; says what it left. */
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sharedData } from "../e2e/harness.js";
import { debianParts, endContainer } from "./debian.js";
import { nodeParts } from "./nodes.js";
import { checkout, type Part } from "./parts.js";

/** What needs another machine. */
const elsewhere = [
  "KVM of real hardware (make hostlab ONLY=user-mode runs an emulated one)",
  "system mode on Debian 13 (make hostlab runs it on this host's Debian)",
  "processors other than x86_64",
];

const parts: readonly Part[] = [...nodeParts, ...debianParts];
const wanted = process.argv
  .slice(2)
  .flatMap((word) => word.split(","))
  .filter((word) => word !== "");
const unknown = wanted.filter((name) => !parts.some((part) => part.name === name));
if (unknown.length > 0) {
  console.error(
    `no part is called ${unknown.join(", ")}; there are ${parts.map(({ name }) => name).join(", ")}`,
  );
  process.exit(2);
}

const cache = join(sharedData, "matrix");
const logs = join(checkout, "build/matrix");
mkdirSync(cache, { recursive: true });
mkdirSync(logs, { recursive: true });

const quotedLines = 60;
const ran: string[] = [];
const left: string[] = [];
for (const part of parts) {
  const chosen = wanted.length === 0 || wanted.includes(part.name);
  const why = chosen ? part.left : "not asked for";
  if (why !== undefined) {
    left.push(`${part.name}: ${why}`);
    continue;
  }
  const path = `${logs}/${part.name}.log`;
  console.log(`${part.name}: ${part.what}; see ${path}`);
  const log = openSync(path, "w");
  const startedMs = Date.now();
  let outcome = "well";
  try {
    await part.run({ cache, log });
  } catch (error) {
    outcome = `FAILED: ${(error as Error).message}`;
    process.exitCode = 1;
    console.log(readFileSync(path, "utf8").trimEnd().split("\n").slice(-quotedLines).join("\n"));
  }
  closeSync(log);
  ran.push(`${part.name} (${Math.round((Date.now() - startedMs) / 1000)} s): ${outcome}`);
}
endContainer();
const lines = (title: string, entries: readonly string[]) => [title, ...entries.map((entry) => `  ${entry}`)];
console.log([...lines("ran:", ran), ...lines("left:", [...left, ...elsewhere])].join("\n"));

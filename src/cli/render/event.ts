/** Events of the log as lines. */
import type { EventView, VerifyView } from "../../contract/events.js";
import { clean, type Style } from "./style.js";
import { ago } from "./units.js";

const timeWidth = "just now".length;

export function eventLine(event: EventView, nowMs: number, style: Style): string {
  const when = ago(event.at, nowMs).padStart(timeWidth);
  return `${style.dim(`${String(event.seq).padStart(6)}  ${when}  ${event.stream}`)}  ${clean(event.sentence)}\n`;
}

export function verifyText(result: VerifyView, style: Style): string {
  if (result.ok) return `${style.green("ok")}: ${result.events} events replay to the live state\n`;
  const paths = result.differences.map((path) => `  ${clean(path)}\n`).join("");
  return `${style.red("different")}: replaying ${result.events} events and the live state differ at\n${paths}`;
}

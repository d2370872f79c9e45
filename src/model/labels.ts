/** Pure: labels of VMs: how they may look, what changes them, and which VMs a filter means. */
import { BangerError } from "../lib/errors.js";
import { event, type NewEvent, vmStream } from "./events.js";
import type { Labels, Vm } from "./model.js";

/** New values; null takes a label away. */
export type LabelChanges = Readonly<Record<string, string | null>>;

/** The event that brings the changes about; none when they are so already. */
export function labelling({ id, labels: before }: Vm, changes: LabelChanges): NewEvent[] {
  const entries = Object.entries({ ...before, ...changes });
  const labels = Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== null));
  const same = Object.keys(labels).length === Object.keys(before).length;
  if (same && Object.entries(labels).every(([key, value]) => before[key] === value)) return [];
  return [event(vmStream(id), "vm.labels_changed", { labels })];
}

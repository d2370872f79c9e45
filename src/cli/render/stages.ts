/** Progress while something starts or is built: one live line on a terminal, plain lines elsewhere. */

import type { EventView } from "../../contract/events.js";
import type { Clock } from "../../lib/clock.js";
import { formatDuration } from "../../lib/sizes.js";
import type { LayerProgress, StageReached } from "../../model/model.js";
import { layerLines, layersText } from "./layers.js";
import { type LiveLine, liveLine } from "./live-line.js";
import { clean, type Output, type Style } from "./style.js";

/** What an event ends and what begins with it; `done` says that the whole is over, well or not. */
export interface Stage {
  ended?: string;
  begins?: string;
  /** Something to tell that neither begins nor ends a stage. */
  note?: string;
  /** How far a layer of an image is, within the stage. */
  layer?: LayerProgress;
  done?: boolean;
}

/** The stages of a VM's start and stop, and of an image's build. */
function stageOf(event: EventView): Stage | undefined {
  switch (event.type) {
    case "vm.start_requested":
      return { begins: "preparing the disk" };
    case "vm.disk_attached":
      return { ended: "disk", begins: "preparing the network" };
    case "vm.network_attached":
      return { ended: "network", begins: "starting the virtual machine" };
    case "vm.process_started":
      return { ended: "virtual machine", begins: "booting the guest" };
    case "vm.ready":
      return { ended: "guest", done: true };
    case "vm.stop_requested":
    case "vm.restart_requested":
      return { begins: "waiting for the guest to shut down" };
    case "vm.process_exited":
      return { ended: "shutdown", begins: "preparing the disk" };
    case "vm.effect_failed":
    case "image.effect_failed":
    case "vm.file_skipped":
      return { note: event.sentence };
    case "image.pull_requested":
      return { begins: "preparing" };
    case "image.stage_reached": {
      const { stage, detail, layer } = event.data as StageReached;
      if (layer !== undefined) return { layer, ended: "", begins: layersText(layer) };
      return { ended: "", begins: detail === undefined ? stage : `${stage}: ${detail}` };
    }
    case "image.ready":
      return { ended: "", done: true };
    case "vm.step_failed":
    case "image.build_failed":
      return { done: true };
    default:
      return undefined;
  }
}

export interface StageReport {
  see(event: EventView): void;
  /** Takes the live line away. To be called before anything else is written, and at the end. */
  close(): void;
}

interface ReportOptions {
  output: Output;
  clock: Clock;
  style: Style;
  quiet: boolean;
  /** Whether every ended stage keeps its line on a terminal too. */
  keep: boolean;
}

export function stageReport({ output, clock, style, quiet, keep }: ReportOptions): StageReport {
  if (quiet) return { see() {}, close() {} };
  const line: LiveLine = liveLine(output, clock);
  const lasting = keep || output.isTTY !== true;
  const layers = layerLines();
  let current: { label: string; sinceMs: number } | undefined;
  /** A line that stays, above the live ones. */
  const write = (text: string): void => {
    line.clear();
    output.write(`${text}\n`);
  };
  const show = (): void => {
    if (current === undefined) line.clear();
    else line.show(current.label, layers.bars());
  };
  const begin = (stage: Stage, atMs: number): void => {
    if (stage.ended !== undefined && current !== undefined && lasting) {
      const label = stage.ended === "" ? current.label : stage.ended;
      write(style.dim(`${clean(label)} (${formatDuration(atMs - current.sinceMs)})`));
    }
    layers.forget();
    current = stage.begins === undefined ? undefined : { label: stage.begins, sinceMs: atMs };
  };
  return {
    see(event) {
      const stage = stageOf(event);
      if (stage === undefined) return;
      const atMs = Date.parse(event.at);
      if (stage.note !== undefined) write(`${style.yellow("note:")} ${clean(stage.note)}`);
      // The same stage reported again continues.
      else if (stage.begins === undefined || stage.begins !== current?.label) begin(stage, atMs);
      const whole = stage.layer && layers.see(stage.layer, atMs);
      if (whole !== undefined && lasting) write(style.dim(whole));
      show();
    },
    close: () => line.clear(),
  };
}

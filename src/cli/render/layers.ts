/** The layers of an image on their way here: a bar for each that comes, a line for each that has come. */

import { formatDuration, formatMegabytes } from "../../lib/sizes.js";
import type { LayerProgress } from "../../model/model.js";

const barWidth = 24;

/** The stage that all layers make up. */
export const layersText = ({ count, imageBytes }: LayerProgress): string =>
  `download: ${count} ${count === 1 ? "layer" : "layers"}, ${formatMegabytes(imageBytes)} MB`;

function bar({ number, count, receivedBytes, totalBytes }: LayerProgress): string {
  const filled = Math.round((barWidth * receivedBytes) / Math.max(1, totalBytes));
  const place = `layer ${String(number).padStart(String(count).length)}/${count}`;
  const line = "█".repeat(Math.min(barWidth, filled)).padEnd(barWidth, "░");
  return `${place} ${line} ${formatMegabytes(receivedBytes)} of ${formatMegabytes(totalBytes)} MB`;
}

export interface LayerLines {
  /** Takes in how far a layer is; what to say of it when it is whole, only then. `atMs` is when that was. */
  see(layer: LayerProgress, atMs: number): string | undefined;
  /** Of the layers that are coming, in their order. */
  bars(): string[];
  forget(): void;
}

export function layerLines(): LayerLines {
  const coming = new Map<number, { layer: LayerProgress; sinceMs: number }>();
  return {
    see(layer, atMs) {
      const { number, count, totalBytes, state } = layer;
      const sinceMs = coming.get(number)?.sinceMs ?? atMs;
      if (state === "downloading") {
        coming.set(number, { layer, sinceMs });
        return undefined;
      }
      coming.delete(number);
      const how = state === "cached" ? "already present" : formatDuration(atMs - sinceMs);
      return `layer ${number} of ${count}: ${formatMegabytes(totalBytes)} MB (${how})`;
    },
    bars: () =>
      [...coming.values()].sort((a, b) => a.layer.number - b.layer.number).map(({ layer }) => bar(layer)),
    forget: () => coming.clear(),
  };
}

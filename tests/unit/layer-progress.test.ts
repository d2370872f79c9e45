/** How far an image's layers are: few events in the log whatever comes, a bar for each that comes, a line for each whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { stageReport } from "../../src/cli/render/stages.js";
import { type Output, plainStyle } from "../../src/cli/render/style.js";
import type { BuildContext } from "../../src/images/make/build-context.js";
import { layerProgress } from "../../src/images/make/oci.js";
import type { LayerProgress } from "../../src/model/model.js";
import { eventView } from "../doubles/views.js";
import { ManualClock } from "../manual-clock.js";

const MB = 1_000_000;
const layer = (number: number, count: number, receivedMB: number, totalMB: number): LayerProgress => ({
  ...{ number, count, receivedBytes: receivedMB * MB, totalBytes: totalMB * MB, imageBytes: 60 * MB },
  state: receivedMB === totalMB ? "done" : "downloading",
});

/** Brings `count` layers in pieces, a piece a millisecond; the stages that are told. */
function stagesOf(count: number, pieces: number): [string, LayerProgress | undefined][] {
  const told: [string, LayerProgress | undefined][] = [];
  let nowMs = 0;
  const build = {
    now: () => nowMs,
    stage: (_stage: string, detail = "", progress?: LayerProgress) => told.push([detail, progress]),
  } as unknown as BuildContext;
  const tell = layerProgress(build);
  for (let piece = 1; piece <= pieces; piece++)
    for (let number = 1; number <= count; number++) {
      nowMs += 1;
      tell(layer(number, count, piece, pieces));
    }
  return told;
}

test("the log hears of a layer when it begins, in some steps, and when it is whole, however often it is asked", () => {
  const few = stagesOf(3, 20_000);
  assert.ok(few.length > 3 * 15 && few.length <= 3 * 22, `${few.length} stages`);
  for (const number of [1, 2, 3]) {
    const mine = few.filter(([, progress]) => progress?.number === number);
    assert.equal(mine[0]?.[1]?.receivedBytes, MB);
    assert.deepEqual(mine.at(-1)?.[1]?.state, "done");
    assert.equal(mine.filter(([, progress]) => progress?.state === "done").length, 1);
  }
  const many = stagesOf(127, 500);
  assert.ok(many.length <= 127 * 4, `${many.length} stages`);
  assert.equal(stagesOf(1, 50).length, 2, "not twice in a second, but for the end");
  assert.equal(few[0]?.[0], "layer 1 of 3, 1.0 of 20000 MB");
});

/** What is written of these events; layers as `[number, received, total]` of two. */
function shown(isTTY: boolean, layers: [number, number, number][]): string {
  let text = "";
  const output = {
    isTTY,
    columns: 80,
    write: (chunk: string) => (text += chunk) !== "",
  } as unknown as Output;
  const report = stageReport({
    output,
    clock: new ManualClock(),
    style: plainStyle,
    quiet: false,
    keep: true,
  });
  report.see(eventView(1, "image.pull_requested"));
  layers.forEach(([number, received, total], index) => {
    const data = { stage: "download", detail: "in words", layer: layer(number, 2, received, total) };
    report.see(eventView(index + 2, "image.stage_reached", { data }));
  });
  report.see(eventView(layers.length + 2, "image.stage_reached", { data: { stage: "write" } }));
  report.see(eventView(layers.length + 3, "image.ready"));
  report.close();
  return text;
}

const coming: [number, number, number][] = [
  [1, 1, 40],
  [2, 10, 20],
  [2, 20, 20],
  [1, 20, 40],
  [1, 40, 40],
];

test("without a terminal each layer is one line, once it is whole", () => {
  assert.equal(
    shown(false, coming),
    [
      "preparing (100ms)",
      "layer 2 of 2: 20 MB (100ms)",
      "layer 1 of 2: 40 MB (400ms)",
      "download: 2 layers, 60 MB (500ms)",
      "write (100ms)",
      "",
    ].join("\n"),
  );
});

test("on a terminal each layer that comes has a bar below the stage, and what was drawn is taken away", () => {
  const text = shown(true, coming);
  assert.match(text, /⠙ download: 2 layers, 60 MB {2}0ms\n {2}layer 1\/2 █░{23} 1\.0 of 40 MB/);
  const both = text
    .split("\u001b[J")
    .find((part) => part.includes("layer 1/2") && part.includes("layer 2/2"));
  assert.match(both ?? "", /layer 1\/2 █░+ 1\.0 of 40 MB\n {2}layer 2\/2 █{12}░{12} 10 of 20 MB$/m);
  // Three lines were there: the cursor goes two up, and all below goes.
  assert.match(text, /10 of 20 MB\r\u001b\[2A\u001b\[Jlayer 2 of 2: 20 MB \(100ms\)\n/);
  assert.ok(text.endsWith("write (100ms)\n"), JSON.stringify(text.slice(-80)));
});

test("a layer that was here before says so", () => {
  const output: string[] = [];
  const write = (chunk: string) => output.push(chunk) > 0;
  const options = { clock: new ManualClock(), style: plainStyle, quiet: false, keep: true };
  const report = stageReport({ ...options, output: { isTTY: false, write } as unknown as Output });
  const data = { stage: "download", layer: { ...layer(1, 1, 7, 7), state: "cached" } };
  report.see(eventView(1, "image.stage_reached", { data }));
  assert.deepEqual(output, ["layer 1 of 1: 7.0 MB (already present)\n"]);
});

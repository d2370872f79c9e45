/** Having an image or a kernel made or deleted, and showing how far that is. */
import type { ImagePullResult, ImageView } from "../contract-images.js";
import { BangerError, type ErrorBody } from "../errors.js";
import { formatDuration } from "../sizes.js";
import { command, jsonFlag, quietFlag } from "./command.js";
import { type Context, call, print, printJson, say } from "./context.js";
import { follow } from "./follow.js";
import { styleFor } from "./render/style.js";

export type Noun = "image" | "kernel";

/** Registries may take their time before the first answer. */
const resolveTimeoutMs = 180_000;

const rendering = () => import("./render/image.js");

/** Shows the stages until what was asked for is there. @throws BangerError as its making failed */
export async function untilReady(
  context: Context,
  noun: Noun,
  { image, after, already }: ImagePullResult,
  quiet: boolean,
): Promise<{ id: string; already: boolean }> {
  const { id, name } = image;
  if (already) return { id, already };
  const { stderr: output, clock, env } = context;
  if (!quiet) say(context, `${noun}: ${name} is not here yet; getting it`);
  const startedMs = clock.now();
  const { stageReport } = await import("./render/stages.js");
  const report = stageReport({ output, clock, quiet, keep: true, style: styleFor(output, env) });
  try {
    for await (const event of follow(context, { ref: `image/${id}`, after })) {
      report.see(event);
      if (event.type === "image.ready") break;
      if (event.type === "image.build_failed") throw notMade(noun, name, event.data as ErrorBody);
      if (event.type === "image.delete_requested") {
        throw new BangerError("image_deleted", `${noun} ${name} was deleted while it was being made`);
      }
    }
  } finally {
    report.close();
  }
  if (!quiet) say(context, `${noun}: ${name} is ready (${formatDuration(clock.now() - startedMs)})`);
  return { id, already };
}

const notMade = (noun: Noun, name: string, { code, message, hint, retry }: ErrorBody): BangerError =>
  new BangerError(code, `${noun} ${name} could not be made: ${message}`, {
    hint: hint ?? "banger doctor",
    retry,
  });

/** Pulls an image and shows its stages until it is there. @throws BangerError as its making failed */
export async function pullImage(
  context: Context,
  ref: string,
  quiet: boolean,
  options: { name?: string; kernel?: string; sizeMiB?: number } = {},
): Promise<{ id: string; already: boolean }> {
  const body = { ref, ...options };
  const asked = await call(context, "imagePull", { body, timeoutMs: resolveTimeoutMs });
  return untilReady(context, "image", asked, quiet);
}

/** `image list` and `kernel list`. */
export const listCommand = (noun: Noun) =>
  command({
    summary: `List ${noun}s`,
    usage: "[flags]",
    examples: [`banger ${noun} list`, `banger ${noun} list --available`, `banger ${noun} list --json`],
    flags: {
      available: { type: "boolean", description: "What the catalog can make, here or not" },
      json: jsonFlag,
      quiet: quietFlag,
    },
    async run(flags, { context }) {
      const { availableTable, imageTable } = await rendering();
      const options = () => ({
        style: styleFor(context.stdout, context.env),
        width: context.stdout.columns,
      });
      const show = async <T extends { id: string }>(entries: T[], table: (entries: T[]) => string) => {
        if (flags.json) await printJson(context, entries);
        else if (flags.quiet) await print(context, entries.map(({ id }) => `${id}\n`).join(""));
        else await print(context, table(entries));
      };
      if (flags.available) {
        await show(await call(context, `${noun}Available`), (entries) => availableTable(entries, options()));
        return 0;
      }
      const list: ImageView[] = await call(context, `${noun}List`);
      await show(list, (images) => imageTable(images, context.clock.now(), options()));
      return 0;
    },
  });

/** `image show` and `kernel show`. */
export const showCommand = (noun: Noun) =>
  command({
    summary: `Show one ${noun}`,
    usage: "NAME|ID [flags]",
    examples: [`banger ${noun} show NAME`, `banger ${noun} show NAME --json`],
    words: { min: 1, max: 1, name: "NAME" },
    flags: { json: jsonFlag },
    async run(flags, { context, words }) {
      const image = await call(context, `${noun}Show`, { ref: words[0] ?? "" });
      const { imageDetails } = await rendering();
      const style = styleFor(context.stdout, context.env);
      if (flags.json) await printJson(context, image);
      else await print(context, imageDetails(image, context.clock.now(), style));
      return 0;
    },
  });

/** `image delete` and `kernel rm`. */
export const deleteCommand = (noun: Noun, word: string) =>
  command({
    summary: `Delete ${noun}s`,
    usage: "NAME|ID… [flags]",
    examples: [`banger ${noun} ${word} NAME`],
    words: { min: 1, max: Number.POSITIVE_INFINITY, name: "NAME" },
    flags: { quiet: { type: "boolean", alias: "q", description: "Print ids only" } },
    async run(flags, { context, words }) {
      for (const ref of words) {
        const { image, after } = await call(context, `${noun}Delete`, { ref });
        for await (const event of follow(context, { ref: `image/${image.id}`, after })) {
          if (event.type === "image.deleted") break;
        }
        if (flags.quiet !== true) say(context, `${noun}: ${image.name} is deleted`);
        await print(context, `${image.id}\n`);
      }
      return 0;
    },
  });

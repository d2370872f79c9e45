/** Having an image or a kernel made or deleted, and showing how far that is. */
import type { ImagePullResult, ImageView } from "../../contract/images.js";
import { proxiesOf } from "../../host/proxies.js";
import { BangerError, type ErrorBody } from "../../lib/errors.js";
import { formatDuration } from "../../lib/sizes.js";
import { command, quietFlag } from "../base/command.js";
import { type Context, call, print, printJson, say } from "../base/context.js";
import { follow } from "../base/follow.js";
import { Interrupted } from "../base/interrupts.js";
import { errorText } from "../render/error.js";
import { progressOutput, styleFor } from "../render/style.js";

export type Noun = "image" | "kernel";

/** Registries may take their time before the first answer. */
const resolveTimeoutMs = 180_000;

const rendering = () => import("../render/image.js");

/** Shows the stages until what was asked for is there. @throws BangerError as its making failed */
export async function untilReady(
  context: Context,
  noun: Noun,
  { image, after, already, here }: ImagePullResult,
  quiet: boolean,
  begun = "not found locally, pulling",
): Promise<{ id: string; already: boolean }> {
  const { id, name } = image;
  if (already) return { id, already };
  const { clock, env } = context;
  const output = progressOutput(context);
  // What only has to be seen is there in a moment, and nothing to tell of.
  const silent = quiet || here;
  if (!silent) say(context, `${noun}: ${name} ${begun}`);
  const startedMs = clock.now();
  const { stageReport } = await import("../render/stages.js");
  const report = stageReport({ output, clock, quiet: silent, keep: true, style: styleFor(output, env) });
  try {
    for await (const event of follow(context, { ref: `image/${id}`, after })) {
      report.see(event);
      if (event.type === "image.ready") break;
      if (event.type === "image.build_failed") throw notMade(noun, name, event.data as ErrorBody);
      if (event.type === "image.delete_requested") {
        throw new BangerError("image_deleted", `${noun} ${name} was deleted while it was being built`);
      }
    }
  } catch (error) {
    report.close();
    if (error instanceof Interrupted)
      say(
        context,
        `${noun}: ${name} is still being built; to end that: banger ${noun} ${removal[noun]} ${id}`,
      );
    throw error;
  } finally {
    report.close();
  }
  if (!silent) say(context, `${noun}: ${name} is ready (${formatDuration(clock.now() - startedMs)})`);
  return { id, already: here };
}

const removal = { image: "delete", kernel: "rm" } as const;

const notMade = (noun: Noun, name: string, error: ErrorBody): BangerError =>
  BangerError.from(error, {
    message: `${noun} ${name} could not be built: ${error.message}`,
    hint: error.hint ?? "banger doctor",
  });

/** Pulls an image and shows its stages until it is there. @throws BangerError as its making failed */
export async function pullImage(
  context: Context,
  ref: string,
  quiet: boolean,
  options: { name?: string; kernel?: string; sizeMiB?: number } = {},
): Promise<{ id: string; already: boolean }> {
  const body = { ref, ...options, proxies: proxiesOf(context.env) };
  const asked = await call(context, "imagePull", { body, timeoutMs: resolveTimeoutMs });
  return untilReady(context, "image", asked, quiet);
}

/** The id of what was made, or all of it as JSON. */
export async function printMade(context: Context, noun: Noun, id: string): Promise<void> {
  if (context.json) await printJson(context, await call(context, `${noun}Show`, { ref: id }));
  else await print(context, `${id}\n`);
}

/** `image list` and `kernel list`. */
export const listCommand = (noun: Noun) =>
  command({
    summary: `List ${noun}s`,
    usage: "[flags]",
    examples: [`banger ${noun} list`, `banger ${noun} list --available`, `banger ${noun} list --json`],
    flags: {
      available: { type: "boolean", description: "Everything in the catalog, present or not" },
      quiet: quietFlag,
    },
    async run(flags, { context }) {
      const { availableTable, imageTable } = await rendering();
      const options = () => ({
        style: styleFor(context.stdout, context.env),
        width: context.stdout.columns,
      });
      const show = async <T extends { id: string }>(entries: T[], table: (entries: T[]) => string) => {
        if (context.json) await printJson(context, entries);
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
    flags: {},
    async run(flags, { context, words }) {
      const image = await call(context, `${noun}Show`, { ref: words[0] ?? "" });
      const { imageDetails } = await rendering();
      const style = styleFor(context.stdout, context.env);
      if (context.json) await printJson(context, image);
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
    flags: { quiet: { type: "boolean", alias: "q", description: "Print only ids" } },
    async run(flags, { context, words }) {
      const results: object[] = [];
      let failed = false;
      for (const ref of new Set(words)) {
        try {
          const { id, name } = await deleteOne(context, noun, ref);
          results.push({ ref, id, name, ok: true, result: "deleted" });
          if (flags.quiet !== true) say(context, `${noun}: ${name} is deleted`);
          if (!context.json) await print(context, `${id}\n`);
        } catch (error) {
          // One that cannot go does not stop the others.
          if (!(error instanceof BangerError) || connectionFaults.has(error.code)) throw error;
          failed = true;
          results.push({ ref, ok: false, error: error.toBody() });
          context.stderr.write(errorText(error, styleFor(context.stderr, context.env), ref));
        }
      }
      if (context.json) await printJson(context, results);
      return failed ? 1 : 0;
    },
  });

/** Errors that are those of the way to the daemon, or of the output, and not of one image. */
const connectionFaults = new Set(["daemon_lost", "daemon_not_running", "daemon_silent", "not_written"]);

async function deleteOne(context: Context, noun: Noun, ref: string): Promise<ImageView> {
  const { image, after } = await call(context, `${noun}Delete`, { ref });
  for await (const event of follow(context, { ref: `image/${image.id}`, after })) {
    if (event.type === "image.deleted") break;
  }
  return image;
}

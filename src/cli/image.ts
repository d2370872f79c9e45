/** `banger image`: list and pull. */
import { BangerError, type ErrorBody } from "../errors.js";
import { formatDuration } from "../sizes.js";
import { command, jsonFlag, quietFlag } from "./command.js";
import { type Context, call, print, printJson, say } from "./context.js";
import { follow } from "./follow.js";
import { imageTable } from "./render/image.js";
import { stageReport } from "./render/stages.js";
import { styleFor } from "./render/style.js";

export const list = command({
  summary: "List images",
  usage: "[flags]",
  examples: ["banger image list", "banger image list --json"],
  flags: { json: jsonFlag, quiet: quietFlag },
  async run(flags, { context }) {
    const images = await call(context, "imageList");
    if (flags.json) await printJson(context, images);
    else if (flags.quiet) await print(context, images.map(({ id }) => `${id}\n`).join(""));
    else {
      const style = styleFor(context.stdout, context.env);
      await print(context, imageTable(images, context.clock.now(), { style, width: context.stdout.columns }));
    }
    return 0;
  },
});

export const pull = command({
  summary: "Build or fetch a catalog image",
  usage: "NAME [flags]",
  examples: ["banger image pull debian-slim"],
  words: { min: 1, max: 1, name: "NAME" },
  flags: { quiet: { type: "boolean", alias: "q", description: "Print the image's id only" } },
  async run(flags, { context, words }) {
    const { id, already } = await pullImage(context, words[0] ?? "", flags.quiet === true);
    if (already && flags.quiet !== true) say(context, `${words[0]} is here already`);
    await print(context, `${id}\n`);
    return 0;
  },
});

/** Pulls an image and shows its stages until it is there. @throws BangerError as the build failed */
export async function pullImage(
  context: Context,
  name: string,
  quiet: boolean,
): Promise<{ id: string; already: boolean }> {
  const { image, after, already } = await call(context, "imagePull", { body: { name } });
  if (already) return { id: image.id, already };
  const { stderr: output, clock, env } = context;
  if (!quiet) say(context, `image: ${name} is not here yet; getting it`);
  const startedMs = clock.now();
  const report = stageReport({ output, clock, quiet, keep: true, style: styleFor(output, env) });
  try {
    for await (const event of follow(context, { ref: `image/${image.id}`, after })) {
      report.see(event);
      if (event.type === "image.ready") break;
      if (event.type === "image.build_failed") throw buildFailed(name, event.data as ErrorBody);
      if (event.type === "image.delete_requested") {
        throw new BangerError("image_deleted", `image ${name} was deleted while it was being made`);
      }
    }
  } finally {
    report.close();
  }
  if (!quiet) say(context, `image: ${name} is ready (${formatDuration(clock.now() - startedMs)})`);
  return { id: image.id, already };
}

const buildFailed = (name: string, { code, message, hint, retry }: ErrorBody): BangerError =>
  new BangerError(code, `image ${name} could not be made: ${message}`, {
    hint: hint ?? "banger doctor",
    retry,
  });

/** Images and kernels as people see them. */
import type { AvailableView, ImageDetails, ImageView } from "../../contract/images.js";
import { shellQuote } from "../../lib/shell.js";
import { formatBytes } from "../../lib/sizes.js";
import { type Style, stateColour } from "./style.js";
import { details, type TableOptions, table } from "./table.js";
import { ago } from "./units.js";

const state = ({ phase, stage }: ImageView): string => (stage === null ? phase : `${phase} (${stage})`);

export function imageTable(images: readonly ImageView[], nowMs: number, options: TableOptions): string {
  const rows = images.map((image) => [
    image.name,
    image.id,
    state(image),
    image.sizeBytes === null ? "" : formatBytes(image.sizeBytes),
    ago(image.createdAt, nowMs),
    image.error?.message ?? image.source,
  ]);
  const head = ["NAME", "ID", "STATE", "SIZE", "CREATED", "SOURCE OR CAUSE"];
  return table(head, rows, { ...options, paint: { STATE: stateColour(options.style) } });
}

export function availableTable(entries: readonly AvailableView[], options: TableOptions): string {
  const rows = entries.map(({ name, here, summary }) => [name, here ? "yes" : "no", summary]);
  return table(["NAME", "HERE", "WHAT"], rows, options);
}

interface Oci {
  env?: string[];
  entrypoint?: string[];
  cmd?: string[];
  workingDirectory?: string;
  user?: string;
}

/** As a shell would take them; null where there are none. */
const words = (list: readonly string[] | undefined): string | null =>
  list === undefined || list.length === 0 ? null : list.map(shellQuote).join(" ");

export function imageDetails(image: ImageDetails, nowMs: number, style: Style): string {
  const { manifest, error } = image;
  const told = (key: string) => (typeof manifest?.[key] === "string" ? (manifest[key] as string) : null);
  const oci = (manifest?.["oci"] ?? {}) as Oci;
  return details(
    [
      ["name", image.name],
      ["id", image.id],
      ["state", state(image)],
      ["source", image.source],
      ["size", image.sizeBytes === null ? null : formatBytes(image.sizeBytes)],
      ["created", ago(image.createdAt, nowMs)],
      ["directory", image.directory],
      ["kernel", told("kernelRelease")],
      ["boot arguments", told("bootArguments")],
      ["entrypoint", words(oci.entrypoint)],
      ["command", words(oci.cmd)],
      ["environment", words(oci.env)],
      ["working directory", oci.workingDirectory ?? null],
      ["user", oci.user ?? null],
      ["used by", image.users.join(" ")],
      ["cause", error?.message ?? null],
      ["try", error?.hint ?? null],
    ],
    style,
  );
}

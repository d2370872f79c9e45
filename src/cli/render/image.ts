/** Images as people see them. */
import type { ImageView } from "../../contract.js";
import { type TableOptions, table } from "./table.js";
import { ago, bytes } from "./units.js";

export function imageTable(images: readonly ImageView[], nowMs: number, options: TableOptions): string {
  const rows = images.map((image) => [
    image.name,
    image.id,
    image.stage === null ? image.phase : `${image.phase} (${image.stage})`,
    image.sizeBytes === null ? "" : bytes(image.sizeBytes),
    ago(image.createdAt, nowMs),
    image.error?.message ?? "",
  ]);
  return table(["NAME", "ID", "STATE", "SIZE", "CREATED", "CAUSE"], rows, options);
}

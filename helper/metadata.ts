/** What `banger system install` recorded for the helper: who it serves, and where; owned by root. */
import { closeSync, constants, fstatSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { gateBridge, networkOf } from "./gates.js";
import { isNormalPath } from "./paths.js";
import { Refusal } from "./refusal.js";
import { gateTrustedDirectory, openTrusted } from "./trusted.js";

const closed = { additionalProperties: false };
const path = Type.String();
/** The highest is the "no such user" of the kernel. */
const id = Type.Integer({ minimum: 1, maximum: 0xff_ff_ff_fe });
const program = Type.Union([path, Type.Null()]);

const Metadata = Type.Object(
  {
    version: Type.String({ pattern: "^[0-9A-Za-z.+-]{1,64}$" }),
    /** Root is no owner: the daemon must have nothing that the helper would have to guard against. */
    owner: Type.Object({ uid: id, gid: id, name: Type.String({ pattern: "^[^\\s:,/]{1,256}$" }) }, closed),
    home: Type.Object({ state: path, data: path, cache: path, config: path, runtime: path }, closed),
    network: Type.Object(
      {
        /** `br-fc` or `br-fc-*`. */
        bridge: Type.String(),
        /** The bridge's own IPv4 address; guests have the others of its network. */
        address: Type.String(),
        /** 8…30. */
        prefixLength: Type.Integer(),
      },
      closed,
    ),
    /** Absolute paths; null where the host had none at installation. */
    firecracker: program,
    jailer: program,
  },
  closed,
);

export type Metadata = Static<typeof Metadata>;

const longest = 64 * 1024;

/**
 * What the file says, if root alone can have written it and everything in it passes its gate.
 * @throws Refusal of trusted.ts, paths.ts and gates.ts, `metadata` for what is not metadata; the kernel's own error
 */
export function readMetadata(file: string): Metadata {
  const metadata = parseMetadata(contentOf(file));
  const { state, data } = metadata.home;
  for (const directory of new Set([dirname(state), dirname(data)])) gateTrustedDirectory(directory);
  return metadata;
}

/** @throws Refusal, as above, for what can be told from the text alone */
export function parseMetadata(text: string): Metadata {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Refusal("metadata", `the metadata is not JSON: ${(error as Error).message}`, hint);
  }
  if (!Value.Check(Metadata, value)) {
    const first = Value.Errors(Metadata, value).First();
    throw new Refusal(
      "metadata",
      `the metadata is invalid at ${first?.path || "/"}: ${first?.message}`,
      hint,
    );
  }
  gateBridge(value.network.bridge);
  networkOf(value.network);
  gateHome(value.home);
  for (const each of [value.firecracker, value.jailer]) if (each !== null) gatePath(each);
  return value;
}

const hint = "banger system install";

function contentOf(file: string): string {
  const fd = openTrusted(file, constants.O_RDONLY);
  try {
    const { size } = fstatSync(fd);
    if (size > longest)
      throw new Refusal("metadata", `${file} has ${size} bytes, more than ${longest}`, hint);
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

function gatePath(each: string): void {
  if (!isNormalPath(each))
    throw new Refusal("normal-path", `${JSON.stringify(each)} is not a normalized absolute path`);
}

/** No place lies in another, and the files that jails share with state and data can be linked to. */
function gateHome(home: Metadata["home"]): void {
  const places = Object.values(home);
  for (const place of places) {
    gatePath(place);
    const within = places.find((other) => other !== place && `${place}/`.startsWith(`${other}/`));
    if (within !== undefined || places.filter((other) => other === place).length > 1)
      throw new Refusal("home", `${place} overlaps another directory of the home`, hint);
  }
  if (dirname(home.state) !== dirname(home.data) || dirname(home.state) === "/")
    throw new Refusal("home", `${home.state} and ${home.data} are not in the same directory`, hint);
}

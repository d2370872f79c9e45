/** The kinds of values that the configuration file has: what each may be, and what it is turned into. */
import { type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type Ipv4Network, ipv4Pattern, isGuestNetwork, parseNetwork } from "../home/ipv4.js";
import { formatSize, parseDuration, parseSize } from "../lib/sizes.js";
import { parseReference } from "../oci/reference.js";
import type { RegistryOption } from "../oci/registry.js";

/** A key as the file has it; `read` turns the value, which the schema has passed, into ours or throws. */
export interface ConfigKey<T = unknown> {
  schema: TSchema;
  read: (value: unknown) => T;
  /** What error messages and the documentation say is allowed. */
  allowed: string;
  /** As the file would have it; left out where the key has no fixed default. */
  default?: string | number | boolean;
  about: string;
  /** Whether a value may hold a password, so that no message shows it. */
  secret?: boolean;
  /** Whether the key is written any number of times, each as a table of its own, `[[key]]`. */
  list?: boolean;
}

export interface ListenAddress {
  host: string;
  port: number;
}

/** A file or directory of the host that new guests get a copy of. */
export interface FileSync {
  /** Absolute, or below the user's home as `~/…`. */
  host: string;
  /** Path in the guest, from its root, without a slash before it. */
  guest: string;
  /** Of a file; what is in a directory keeps its own modes. */
  mode: number;
}

interface Range {
  minimum: number;
  maximum: number;
}

export const choice = <T extends string>(...values: T[]) => ({
  schema: Type.Union(values.map((value) => Type.Literal(value))),
  read: (value: unknown) => value as T,
  allowed: values.map((value) => `"${value}"`).join(" or "),
});

export const text = (pattern: string, allowed: string) => ({
  schema: Type.String({ pattern }),
  read: (value: unknown) => value as string,
  allowed,
});

/** An image by its name, its id, or where a registry has it. */
export const image = {
  schema: Type.String(),
  read(value: unknown): string {
    const name = value as string;
    if (!/^[a-z0-9][a-z0-9.-]{0,127}$/.test(name)) parseReference(name);
    return name;
  },
  allowed: 'the name or id of an image, or a reference such as "docker.io/library/debian:12"',
};

export const count = (range: Range) => ({
  schema: Type.Integer({ ...range }),
  read: (value: unknown) => value as number,
  allowed: `a whole number from ${range.minimum} to ${range.maximum}`,
});

function within({ minimum, maximum }: Range, value: number): number {
  if (value < minimum || value > maximum) throw new RangeError(`${value} is out of range`);
  return value;
}

export const size = (range: Range) => ({
  schema: Type.Union([Type.Integer(), Type.String()]),
  read: (value: unknown) => within(range, parseSize(String(value))),
  allowed: `a size from ${formatSize(range.minimum)} to ${formatSize(range.maximum)}, as "4G" or 4096 (MiB)`,
});

export const duration = (shortest: string, longest: string) => ({
  schema: Type.String(),
  read: (value: unknown) =>
    within(
      { minimum: parseDuration(shortest), maximum: parseDuration(longest) },
      parseDuration(String(value)),
    ),
  allowed: `a duration from "${shortest}" to "${longest}"`,
});

export const listenAddress = {
  schema: Type.String({ pattern: `^(off|(?=127\\.)${ipv4Pattern}:\\d{1,5})$` }),
  read: (value: unknown): ListenAddress | "off" => {
    if (value === "off") return "off";
    const [host = "", port = ""] = String(value).split(":");
    return { host, port: within({ minimum: 0, maximum: 65_535 }, Number(port)) };
  },
  allowed: 'a loopback address with its port, as "127.0.0.1:53", or "off"',
};

/** Length of an interface's name without its NUL: IFNAMSIZ, netdevice(7). */
const longestInterface = 15;

export const bridgeName = text(
  `^(?=.{1,${longestInterface}}$)br-fc(-[a-zA-Z0-9-]+)?$`,
  `"br-fc", or "br-fc-" and letters, digits or hyphens, at most ${longestInterface} characters in all`,
);

export const address = text(`^${ipv4Pattern}$`, 'an IPv4 address, as "172.16.0.1"');

export const network = {
  schema: Type.String({ pattern: `^${ipv4Pattern}/\\d{1,2}$` }),
  read: (value: unknown): Ipv4Network => {
    const read = parseNetwork(value as string);
    if (!isGuestNetwork(read)) throw new RangeError(`${value} is not a network for guests`);
    return read;
  },
  allowed: 'an IPv4 network from /8 to /30, as "172.16.0.0/24", outside of 0/8, 127/8, 169.254/16 and 224/3',
};

/** `~/x` or an absolute path, without `..`: a path that means the same wherever banger is started. */
const hostPath = "^(~/|/)[^\\0]+$";
const climbs = (path: string): boolean => path.split("/").includes("..");

export const path = {
  schema: Type.String({ pattern: hostPath }),
  read: (value: unknown) => sane(value as string),
  allowed: 'an absolute path, or one below your home as "~/…"',
};

function sane(path: string): string {
  if (climbs(path)) throw new RangeError(`${path} is not such a path`);
  return path;
}

const registryHost = "([a-zA-Z0-9.-]+|\\[[0-9a-fA-F:]+\\])(:\\d{1,5})?";

/** How one registry is reached; the form is that of src/oci/registry.ts. */
export const registry = {
  schema: Type.Object(
    {
      host: Type.String({ pattern: `^${registryHost}$` }),
      mirror: Type.Optional(Type.String({ pattern: `^(https?://)?${registryHost}(/\\S*)?$` })),
      insecure: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  read: (value: unknown) => value as RegistryOption,
  allowed:
    "a table with `host`, and, if wanted, `mirror` (host[:port][/prefix]) and `insecure` (true: plain HTTP)",
  list: true,
};

const privateMode = 0o600;

export const fileSync = {
  schema: Type.Object(
    {
      host: Type.String({ pattern: hostPath }),
      guest: Type.String({ pattern: "^(~|/root)/" }),
      mode: Type.Optional(Type.String({ pattern: "^0?[0-7]{3}$" })),
    },
    { additionalProperties: false },
  ),
  read: (value: unknown): FileSync => {
    const { host, guest, mode } = value as { host: string; guest: string; mode?: string };
    const inside = guest.replace(/^(~|\/root)\/+/, "").replace(/\/+$/, "");
    if (inside === "" || climbs(inside)) throw new RangeError(`${guest} is not below /root`);
    return { host: sane(host), guest: `root/${inside}`, mode: mode ? Number.parseInt(mode, 8) : privateMode };
  },
  allowed:
    'a table with `host` ("~/…" or absolute), `guest` (below "~/" or "/root/") and, if wanted, `mode` (octal, as "0600")',
  list: true,
};

/** Puts the value where it is right, else says what is wrong with it. */
export function checkInto(
  values: Map<string, unknown>,
  name: string,
  value: unknown,
  { keys, tables }: { keys: Readonly<Record<string, ConfigKey>>; tables: ReadonlySet<string> },
): string | undefined {
  if (tables.has(name)) return `${name} must be a table: write [${name}]`;
  const key = Object.hasOwn(keys, name) ? keys[name] : undefined;
  if (key === undefined) return `"${name}" is not a key; the keys are ${Object.keys(keys).join(", ")}`;
  try {
    if (Value.Check(key.schema, value)) {
      const read = key.read(value);
      values.set(name, key.list ? [...((values.get(name) as unknown[] | undefined) ?? []), read] : read);
      return undefined;
    }
  } catch {
    // What `read` refuses is as wrong as what the schema refuses, and told in the same words.
  }
  if (key.secret) return `${name} must be ${key.allowed}`;
  return `${name} must be ${key.allowed}, not ${JSON.stringify(value) ?? typeof value}`;
}

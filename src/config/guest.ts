/** What the configuration says about the guests' network: which CAs they trust, and their proxy. */
import { isIPv4 } from "node:net";
import { Type } from "@sinclair/typebox";
import { type ConfigKey, path } from "./values.js";

/** What every new guest is given of it. */
export interface GuestConfig {
  /** Whether the authorities that were added to this host are trusted in guests too. */
  trustHostCa: boolean;
  /** Files of more certificates; each absolute, or below the user's home as `~/…`. */
  caCertificates: string[];
  /** May hold a password. */
  proxy: string | null;
  noProxy: string | null;
}

/** Neither quotes nor blanks nor comments: it stands in files of several forms. */
const proxyForm = "^https?://[^\\s\"'`#$\\\\]+$";

/** This host's own loopback, which is the guest's own when a guest says it. */
function isLoopback(host: string): boolean {
  const name = host.replace(/\.$/, "");
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  if (isIPv4(name)) return /^(127|0)\./.test(name);
  return ["[::1]", "[::]"].includes(name) || /^\[::ffff:(7f|0:)/.test(name);
}

/** As `[guest]` has them. */
export const guestKeys = {
  "guest.trust_host_ca": {
    schema: Type.Boolean(),
    read: (value: unknown) => value as boolean,
    allowed: "true or false",
    default: false,
    about: "Whether new VMs trust the certificate authorities added to this host; see below.",
  },
  "guest.ca_certificates": {
    schema: Type.Array(path.schema),
    read: (value: unknown) => (value as string[]).map((file) => path.read(file)),
    allowed: 'a list of files, each absolute or below your home as "~/…"',
    about: "More certificate authorities that new VMs trust.",
  },
  "guest.proxy": {
    schema: Type.String({ pattern: proxyForm }),
    read(value: unknown): string {
      const { hostname } = new URL(value as string);
      if (isLoopback(hostname)) throw new RangeError("a guest cannot reach it");
      return value as string;
    },
    allowed: "an http or https URL that a guest can reach, so not on this host's loopback",
    secret: true,
    about: "HTTP proxy for commands and package managers in new VMs.",
  },
  "guest.no_proxy": {
    schema: Type.String({ pattern: "^[a-zA-Z0-9.,:*/_\\[\\]-]+$" }),
    read: (value: unknown) => value as string,
    allowed: "names, addresses and networks with commas between them",
    about: "Hosts they reach without that proxy, in addition to the guest itself and `.vm`.",
  },
} satisfies Record<string, ConfigKey>;

/** The values that the file has, each as `read` gave it, and what holds without them. */
export function guestOf(values: ReadonlyMap<string, unknown>): GuestConfig {
  const get = <T>(name: keyof typeof guestKeys, otherwise: T): T =>
    (values.get(name) as T | undefined) ?? otherwise;
  return {
    trustHostCa: get("guest.trust_host_ca", guestKeys["guest.trust_host_ca"].default),
    caCertificates: get("guest.ca_certificates", []),
    proxy: get<string | null>("guest.proxy", null),
    noProxy: get<string | null>("guest.no_proxy", null),
  };
}

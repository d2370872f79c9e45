/** Pure: which proxy a request goes through, by the variables that curl and Go's programs know. */
import { isIP, isIPv6 } from "node:net";
import { BangerError } from "../lib/errors.js";

/** By their lower-case names, as every program knows them; what is not there is not set. */
export interface Proxies {
  http_proxy?: string;
  https_proxy?: string;
  no_proxy?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What an environment says: the lower-case name first, as curl has it; `all_proxy` stands in for the others. */
export function proxiesOf(environment: Environment): Proxies {
  const said = (name: string): string | undefined =>
    environment[name] || environment[name.toUpperCase()] || undefined;
  const all = said("all_proxy");
  const http = said("http_proxy") ?? all;
  const https = said("https_proxy") ?? all;
  const no = said("no_proxy");
  return {
    ...(http !== undefined && { http_proxy: http }),
    ...(https !== undefined && { https_proxy: https }),
    ...(no !== undefined && { no_proxy: no }),
  };
}

/** For programs, of which some know only the one spelling. */
export const asEnvironment = (proxies: Proxies): Record<string, string> =>
  Object.fromEntries(
    Object.entries(proxies).flatMap(([key, value]: [string, string]) => [
      [key, value],
      [key.toUpperCase(), value],
    ]),
  );

const bare = (host: string): string => host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

/** An address as one number, and how many bits it has. */
function addressOf(host: string): { value: bigint; bits: number } | undefined {
  if (isIP(host) === 4) {
    const value = host.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
    return { value, bits: 32 };
  }
  if (!isIPv6(host) || host.includes("%")) return undefined;
  // A URL writes an address in one way only, in which no part is a dotted one.
  const written = bare(new URL(`http://[${host}]`).hostname);
  const [left = "", right] = written.split("::");
  const parts = (text: string) => (text === "" ? [] : text.split(":"));
  const zeros = right === undefined ? 0 : 8 - parts(left).length - parts(right).length;
  const all = [...parts(left), ...Array<string>(zeros).fill("0"), ...parts(right ?? "")];
  const value = all.reduce((sum, part) => sum * 65536n + BigInt(Number.parseInt(part, 16)), 0n);
  return { value, bits: 128 };
}

function inNetwork(host: string, network: string, length: string): boolean {
  const address = addressOf(host);
  const base = addressOf(bare(network));
  const prefix = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (address === undefined || base === undefined || address.bits !== base.bits || !(prefix <= base.bits))
    return false;
  const shift = BigInt(base.bits - prefix);
  return address.value >> shift === base.value >> shift;
}

/**
 * One rule of NO_PROXY: `*`, a network, an address, or a name that stands for itself and all names below it; a port
 * may follow. A dot or `*.` before a name changes nothing, as with curl.
 */
function isExempt(rule: string, host: string, port: string): boolean {
  if (rule === "*") return true;
  const [, network, length] = /^(.+)\/([^/]*)$/.exec(rule) ?? [];
  if (network !== undefined && length !== undefined) return inNetwork(host, network, length);
  const [, name, only] = isIPv6(rule) ? [rule, rule] : (/^(.+?)(?::(\d+))?$/.exec(rule) ?? []);
  if (name === undefined || (only !== undefined && only !== port)) return false;
  const wanted = bare(name).replace(/^\*?\./, "");
  const address = addressOf(wanted);
  if (address !== undefined) return inNetwork(host, wanted, String(address.bits));
  return wanted !== "" && (host === wanted || host.endsWith(`.${wanted}`));
}

/**
 * The proxy for a request, undefined for none. Like Go's programs, this never asks a proxy for this machine itself.
 * @throws BangerError `proxy_invalid` for a setting that is not the address of an HTTP proxy
 */
export function proxyFor(url: URL, proxies: Proxies): URL | undefined {
  const variable = url.protocol === "https:" ? "https_proxy" : "http_proxy";
  const setting = proxies[variable];
  const host = bare(url.hostname).replace(/\.$/, "");
  if (setting === undefined || isLoopback(host)) return undefined;
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const rules = (proxies.no_proxy ?? "").toLowerCase().split(/[\s,]+/);
  if (rules.some((rule) => rule !== "" && isExempt(rule, host, port))) return undefined;
  const address = setting.includes("://") ? setting : `http://${setting}`;
  const proxy = URL.canParse(address) ? new URL(address) : undefined;
  if (proxy !== undefined && ["http:", "https:"].includes(proxy.protocol)) return proxy;
  // The setting may hold a password.
  throw new BangerError("proxy_invalid", `${variable} does not name an HTTP proxy`, {
    hint: `export ${variable}=http://HOST:PORT`,
  });
}

/** `Proxy-Authorization` for what a proxy's address says of a login. */
export function proxyLogin({ username, password }: URL): Record<string, string> {
  if (username === "" && password === "") return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(pair).toString("base64")}` };
}

/** Who asked for an image with which proxies: a shell's settings, which are in no log, as they may hold a password. */
export class ProxyBook {
  private readonly asked = new Map<string, Proxies>();

  /** `usual`: for what nobody of this daemon's time has asked for. */
  constructor(private readonly usual: Proxies) {}

  /** `proxies` undefined where the client does not say; an empty one means that it has none. */
  note(imageId: string, proxies: Proxies | undefined): void {
    if (proxies !== undefined) this.asked.set(imageId, proxies);
  }

  /** The usual ones where somebody asked from a shell without any. */
  choose(proxies: Proxies | undefined): Proxies {
    const { http_proxy, https_proxy } = proxies ?? {};
    return proxies !== undefined && (http_proxy ?? https_proxy) !== undefined ? proxies : this.usual;
  }

  of(imageId: string): Proxies {
    return this.choose(this.asked.get(imageId));
  }
}

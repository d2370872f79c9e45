/** What a new guest is given of the network around its host: authorities that it trusts, and a proxy. */
import { X509Certificate } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { GuestConfig } from "../../config/guest.js";
import { expandHome } from "../../host/home.js";
import { asEnvironment, type Proxies } from "../../host/proxies.js";
import { BangerError } from "../../lib/errors.js";
import type { SeedFile } from "./archive.js";

/** Where each distribution has its administrator put the authorities that it does not bring itself. */
const anchors = [
  "/usr/local/share/ca-certificates",
  "/etc/pki/ca-trust/source/anchors",
  "/etc/ca-certificates/trust-source/anchors",
  "/etc/pki/trust/anchors",
];

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Certificates of a file, PEM or DER, in one spelling of PEM; of a key or of anything else in it nothing is taken. */
function certificatesOf(content: Buffer): string[] {
  const blocks = content.toString("latin1").match(pemBlock) ?? [content];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block).toString()];
    } catch {
      return [];
    }
  });
}

/** What stands in the directories; what is none, or cannot be read, is not what the host itself trusts either. */
async function addedTo(directories: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const directory of directories) {
    const names = await readdir(directory, { recursive: true }).catch(() => []);
    for (const name of names.sort()) {
      const content = await readFile(join(directory, name)).catch(() => undefined);
      if (content !== undefined) found.push(...certificatesOf(content));
    }
  }
  return found;
}

/**
 * PEM of the authorities that a new guest is to trust, each once.
 * @throws BangerError `ca_certificates_failed` for a file that the configuration names and that has none
 */
export async function guestCertificates(
  { trustHostCa, caCertificates }: GuestConfig,
  userHome: string,
  directories: readonly string[] = anchors,
): Promise<string[]> {
  const all = trustHostCa ? await addedTo(directories) : [];
  for (const file of caCertificates) {
    const path = expandHome(file, userHome);
    const content = await readFile(path).catch((cause: Error) => {
      throw refused(path, cause.message, cause);
    });
    const found = certificatesOf(content);
    if (found.length === 0) throw refused(path, "contains no certificate");
    all.push(...found);
  }
  return [...new Set(all)];
}

const refused = (path: string, why: string, cause?: unknown): BangerError =>
  new BangerError("ca_certificates_failed", `ca_certificates: ${path}: ${why}`, {
    hint: "change or remove it in [guest] of config.toml, then: banger daemon stop",
    cause,
  });

/** A guest asks no proxy for what is in it, nor for its own name. */
const near = "localhost,127.0.0.1,::1,.vm";

/** The proxies of a new guest; none where the configuration names none. */
export function guestProxies({ proxy, noProxy }: GuestConfig): Proxies {
  if (proxy === null) return {};
  return { http_proxy: proxy, https_proxy: proxy, no_proxy: noProxy === null ? near : `${near},${noProxy}` };
}

const bundle = "etc/ssl/certs/ca-certificates.crt";
const extra = "usr/local/share/ca-certificates/banger-host.crt";

/**
 * The authorities where they act at once, without the distribution's tool, and where that tool finds them when it makes
 * its bundle anew. Every family has the bundle under one name, or is given that name for it here.
 */
function trustFiles(certificates: readonly string[]): SeedFile[] {
  const content = certificates.join("");
  const link = (path: string, to: string) =>
    ({ path, link: to, mode: 0o777, once: true, placed: true }) as const;
  return [
    { path: extra, mode: 0o644, content },
    ...anchors.slice(1).map((directory) => ({
      ...{ path: `${directory.slice(1)}/banger-host.crt`, mode: 0o644, content, placed: true },
    })),
    link("etc/pki/tls/certs/ca-certificates.crt", "ca-bundle.crt"),
    link("var/lib/ca-certificates/pem/ca-certificates.crt", "../ca-bundle.pem"),
    { path: bundle, mode: 0o644, content, once: true },
    { path: bundle, mode: 0o644, content, append: true },
  ];
}

/** For programs that bring their own list of authorities, or look for single files of the system's. */
const trustEnvironment = {
  SSL_CERT_FILE: `/${bundle}`,
  CURL_CA_BUNDLE: `/${bundle}`,
  REQUESTS_CA_BUNDLE: `/${bundle}`,
  NODE_EXTRA_CA_CERTS: `/${extra}`,
};

const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join("");

/** Files of a guest's seed: the environment of commands, of logins and of services, and apt's proxy. */
export function networkFiles(certificates: readonly string[], proxies: Proxies): SeedFile[] {
  const environment = { ...asEnvironment(proxies), ...(certificates.length > 0 && trustEnvironment) };
  const set = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  if (set.length === 0) return [];
  const services = set.map((word) => `DefaultEnvironment="${word.replaceAll("%", "%%")}"`);
  const apt = ["http", "https"].map((scheme) => `Acquire::${scheme}::Proxy "${proxies.http_proxy}";`);
  return [
    ...(certificates.length > 0 ? trustFiles(certificates) : []),
    { path: "etc/banger/environment", mode: 0o644, content: lines(set) },
    { path: "etc/environment", mode: 0o644, once: true },
    { path: "etc/environment", mode: 0o644, content: lines(set), append: true },
    { path: "etc/systemd/system.conf.d/", mode: 0o755, once: true, placed: true },
    {
      path: "etc/systemd/system.conf.d/90-banger.conf",
      ...{ mode: 0o644, content: lines(["[Manager]", ...services]), placed: true },
    },
    ...(proxies.http_proxy === undefined
      ? []
      : [{ path: "etc/apt/apt.conf.d/90banger-proxy", mode: 0o644, content: lines(apt), placed: true }]),
  ];
}

/** Whom this host trusts: the bundle of certificates that its administrator keeps, where distributions have it. */
import { readFileSync } from "node:fs";

const bundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** PEM of them all; undefined where the host keeps none. */
export function hostCertificates(): string | undefined {
  for (const path of bundles)
    try {
      const text = readFileSync(path, "utf8");
      if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
    } catch {
      // The next one, then.
    }
  return undefined;
}

/** Answers a registry's challenge: basic credentials, or a token from the server that it names. */
import { BangerError } from "../lib/errors.js";
import type { Credentials } from "./credentials.js";
import { type Http, readAll } from "./http.js";

type Challenge = { scheme: "basic" } | { scheme: "bearer"; realm: string; service: string; scope: string };

const longestToken = 1 << 20;

/** Reads `WWW-Authenticate`; undefined when it asks for nothing that we have. Pure. */
function parseChallenge(header: string): Challenge | undefined {
  const bearer = /(?:^|,\s*)bearer\s+(.*)$/i.exec(header);
  if (bearer !== null) {
    const values = new Map<string, string>();
    for (const [, key, quoted, plain] of (bearer[1] as string).matchAll(
      /(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g,
    ))
      values.set(
        (key as string).toLowerCase(),
        quoted === undefined ? (plain as string) : quoted.replace(/\\(.)/g, "$1"),
      );
    const realm = values.get("realm");
    if (realm !== undefined)
      return {
        scheme: "bearer",
        realm,
        service: values.get("service") ?? "",
        scope: values.get("scope") ?? "",
      };
  }
  return /(?:^|,\s*)basic(?:\s|$)/i.test(header) ? { scheme: "basic" } : undefined;
}

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

function refused(registry: string, credentials: Credentials | undefined): BangerError {
  return credentials === undefined
    ? new BangerError("registry_denied", `${registry} wants a login for this image`, {
        hint: `docker login ${registry}`,
      })
    : new BangerError("registry_denied", `${registry} does not accept the stored login`, {
        hint: `docker login ${registry}`,
      });
}

/** The token server's address. Credentials of a registry reached over TLS never go in plain text. */
function realmUrl(realm: string, from: URL): URL {
  const url = URL.canParse(realm) ? new URL(realm) : null;
  if (url === null || !(url.protocol === "https:" || (url.protocol === "http:" && from.protocol === "http:")))
    throw new BangerError("registry_protocol", `${from.host} sends for tokens to ${JSON.stringify(realm)}`);
  return url;
}

export interface Asking {
  http: Http;
  /** Address of the registry that asked. */
  from: URL;
  registry: string;
  repository: string;
  credentials: Credentials | undefined;
  signal: AbortSignal;
}

async function fetchToken(challenge: Challenge & { scheme: "bearer" }, asking: Asking): Promise<string> {
  const { http, from, registry, repository, credentials, signal } = asking;
  const url = realmUrl(challenge.realm, from);
  const scope = challenge.scope || `repository:${repository}:pull`;
  const traded = credentials !== undefined && "identityToken" in credentials;
  const form = new URLSearchParams({ service: challenge.service, scope, client_id: "banger" });
  if (traded) {
    form.set("grant_type", "refresh_token");
    form.set("refresh_token", credentials.identityToken);
  } else
    for (const key of ["service", "scope", "client_id"]) url.searchParams.set(key, form.get(key) as string);
  const headers: Record<string, string> = traded
    ? { "content-type": "application/x-www-form-urlencoded" }
    : {};
  if (credentials !== undefined && "user" in credentials)
    headers.authorization = basic(credentials.user, credentials.password);
  const response = await http({
    url,
    headers,
    signal,
    ...(traded ? { method: "POST", body: form.toString() } : {}),
  });
  const body = await readAll(response, longestToken, `the token from ${url.host}`);
  if (response.status === 401 || response.status === 403) throw refused(registry, credentials);
  let token: unknown;
  try {
    const parsed = JSON.parse(body.toString("utf8")) as { token?: unknown; access_token?: unknown };
    token = parsed.token ?? parsed.access_token;
  } catch {
    // Said below.
  }
  if (response.status !== 200 || typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token))
    throw new BangerError("registry_protocol", `${url.host} gives no token (status ${response.status})`, {
      retry: "later",
    });
  return token;
}

/**
 * What to send as `Authorization` after a challenge.
 * @throws BangerError `registry_denied`, `registry_protocol`, `registry_unreachable`
 */
export async function authorize(header: string | undefined, asking: Asking): Promise<string> {
  const challenge = parseChallenge(header ?? "");
  const { credentials, registry } = asking;
  if (challenge?.scheme === "bearer") return `Bearer ${await fetchToken(challenge, asking)}`;
  if (challenge?.scheme !== "basic" || credentials === undefined || !("user" in credentials))
    throw refused(registry, credentials);
  return basic(credentials.user, credentials.password);
}

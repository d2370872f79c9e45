/** Finds the user's credentials for a registry where `docker login` and `podman login` leave them. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { BangerError } from "../lib/errors.js";

export type Credentials =
  | { user: string; password: string }
  /** A token to trade for access tokens at the registry's token server. */
  | { identityToken: string };

interface DockerConfig {
  auths?: Record<string, { auth?: string; username?: string; password?: string; identitytoken?: string }>;
  credsStore?: string;
  credHelpers?: Record<string, string>;
}

const helperDeadlineMs = 30_000;
const dockerHub = "https://index.docker.io/v1/";
/** What helpers print when they know nothing of a registry. */
const nothingKnown = /credentials not found|no credentials/i;

function readConfig(path: string): DockerConfig {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new BangerError("auth_file_unreadable", `${path} cannot be read: ${(error as Error).message}`, {
      hint: `ls -l ${path}`,
    });
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) return parsed as DockerConfig;
  } catch {
    // Said below, as for JSON that is not an object.
  }
  throw new BangerError("auth_file_invalid", `${path} is not the JSON object that docker login writes`, {
    hint: `jq . ${path}`,
  });
}

const endings = ["", "/", "/v1/", "/v2/"];

/** How a registry may be spelled in the file. */
const spellings = (registry: string): string[] =>
  registry === "docker.io"
    ? [dockerHub, "https://index.docker.io/v1", "index.docker.io", "docker.io", "registry-1.docker.io"]
    : [
        registry,
        ...["https:", "http:"].flatMap((scheme) => endings.map((end) => `${scheme}//${registry}${end}`)),
      ];

const asCredentials = (user: string, secret: string): Credentials =>
  user === "<token>" ? { identityToken: secret } : { user, password: secret };

/** Asks `docker-credential-NAME get`, in the environment of the user, whose secrets it opens. */
function askHelper(
  name: string,
  server: string,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  if (!/^[\w.-]+$/.test(name))
    throw new BangerError("auth_file_invalid", `${JSON.stringify(name)} is not a credential helper`);
  const options = { env: environment, timeout: helperDeadlineMs, maxBuffer: 1 << 20, signal } as const;
  return new Promise((resolve, reject) => {
    const child = execFile(program, ["get"], options, (error, stdout, stderr) => {
      if (error !== null && nothingKnown.test(stdout + stderr)) return resolve(undefined);
      if (signal.aborted) return reject(signal.reason);
      if (error !== null)
        return reject(
          new BangerError(
            "credential_helper_failed",
            `${program} failed for ${server}: ${error.code ?? error.signal}`,
            {
              hint: `echo ${server} | ${program} get`,
              retry: "later",
            },
          ),
        );
      try {
        const { Username, Secret } = JSON.parse(stdout) as { Username?: string; Secret?: string };
        resolve(Username && Secret ? asCredentials(Username, Secret) : undefined);
      } catch {
        reject(new BangerError("credential_helper_failed", `${program} did not answer with JSON`));
      }
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(server);
  });
}

function fromAuths(config: DockerConfig, registry: string): Credentials | undefined {
  for (const spelling of spellings(registry)) {
    const entry = config.auths?.[spelling];
    if (entry === undefined) continue;
    if (entry.identitytoken) return { identityToken: entry.identitytoken };
    if (entry.username && entry.password) return { user: entry.username, password: entry.password };
    const pair = Buffer.from(entry.auth ?? "", "base64")
      .toString("utf8")
      .replace(/\0+$/, "");
    const colon = pair.indexOf(":");
    if (colon > 0) return { user: pair.slice(0, colon), password: pair.slice(colon + 1) };
  }
  return undefined;
}

export interface CredentialSource {
  /** Undefined for none at all. */
  authFile: string | undefined;
  /** For helpers, which are the user's own programs. */
  environment: NodeJS.ProcessEnv;
}

/**
 * Credentials for a registry, undefined when the user has none for it.
 * @throws BangerError `auth_file_unreadable`, `auth_file_invalid`, `credential_helper_failed`
 */
export async function findCredentials(
  source: CredentialSource,
  registry: string,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  if (source.authFile === undefined) return undefined;
  const config = readConfig(source.authFile);
  const own = spellings(registry).find((spelling) => config.credHelpers?.[spelling] !== undefined);
  const helper = own === undefined ? config.credsStore : config.credHelpers?.[own];
  const server = own ?? (registry === "docker.io" ? dockerHub : registry);
  const helped = helper ? await askHelper(helper, server, source.environment, signal) : undefined;
  return helped ?? fromAuths(config, registry);
}

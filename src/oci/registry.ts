/** Asks a registry, or its mirror, for the manifests and blobs of one repository. */
import { BangerError } from "../lib/errors.js";
import { type CredentialSource, findCredentials } from "./credentials.js";
import type { Http, HttpResponse } from "./http.js";
import type { Reference } from "./reference.js";
import { authorize } from "./token.js";

/** What the user says of a registry. */
export interface RegistryOption {
  /** As in references, e.g. `docker.io` or `registry.example:5000`. */
  host: string;
  /** Asked first: `host[:port][/prefix]`, with `http://` before it for plain HTTP. */
  mirror?: string | undefined;
  /** Plain HTTP instead of TLS. */
  insecure?: boolean | undefined;
}

/** One place that may have the image. */
interface Endpoint {
  /** Name under which credentials are stored. */
  name: string;
  base: string;
  authorization: string | undefined;
}

/** Headers of every request. */
const always = { "user-agent": "banger", "accept-encoding": "identity" };
const hosts: Readonly<Record<string, string>> = { "docker.io": "registry-1.docker.io" };
const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(host);
const isPlain = (host: string, option: RegistryOption | undefined): boolean =>
  option?.insecure ?? isLoopback(host);

function mirrorEndpoint(mirror: string, options: readonly RegistryOption[]): Endpoint {
  const found = /^(?:(https?):\/\/)?([^/]+)(\/.*?)?\/?$/.exec(mirror);
  if (found === null)
    throw new BangerError("registry_invalid", `${JSON.stringify(mirror)} is not a registry mirror`, {
      hint: 'a mirror is written like mirror = "registry.example:5000"',
    });
  const host = found[2] as string;
  const plain = isPlain(
    host,
    options.find((option) => option.host === host),
  );
  const scheme = found[1] ?? (plain ? "http" : "https");
  return { name: host, base: `${scheme}://${host}${found[3] ?? ""}`, authorization: undefined };
}

/** Places to ask, the mirror first. Loopback registries speak plain HTTP unless an option says otherwise. */
function endpointsOf(registry: string, options: readonly RegistryOption[]): Endpoint[] {
  const option = options.find(({ host }) => host === registry);
  const scheme = isPlain(registry, option) ? "http" : "https";
  const own = {
    name: registry,
    base: `${scheme}://${hosts[registry] ?? registry}`,
    authorization: undefined,
  };
  return option?.mirror === undefined ? [own] : [mirrorEndpoint(option.mirror, options), own];
}

function failure(response: HttpResponse, endpoint: Endpoint, what: string): BangerError {
  const { status } = response;
  if (status === 404) return new BangerError("image_not_found", `${endpoint.name} does not have ${what}`);
  if (status === 401 || status === 403)
    return new BangerError("registry_denied", `${endpoint.name} does not let you read ${what}`, {
      hint: `docker login ${endpoint.name}`,
    });
  if (status === 429)
    return new BangerError("registry_busy", `${endpoint.name} has had too many requests from here`, {
      hint: `docker login ${endpoint.name}`,
      retry: "later",
    });
  return new BangerError("registry_failed", `${endpoint.name} answers ${status} for ${what}`, {
    retry: status >= 500 || status === 408 ? "later" : "never",
  });
}

export interface RegistryAccess {
  http: Http;
  credentials: CredentialSource;
  options: readonly RegistryOption[];
}

export class Registry {
  private readonly endpoints: Endpoint[];

  constructor(
    private readonly reference: Reference,
    private readonly access: RegistryAccess,
  ) {
    this.endpoints = endpointsOf(reference.registry, access.options);
  }

  /** How many places can be asked: `get` takes the number of one. */
  get places(): number {
    return this.endpoints.length;
  }

  /**
   * One answer of status 200, or 206 and 416 where a range was asked for. The caller reads or closes it.
   * @throws BangerError `image_not_found`, `registry_denied`, `registry_busy`, `registry_failed`,
   * `registry_protocol`, `registry_unreachable`
   */
  async get(
    place: number,
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const endpoint = this.endpoints[place] as Endpoint;
    let response = await this.send(endpoint, path, headers, signal);
    if (response.status === 401) {
      response.close();
      await this.login(endpoint, response.header("www-authenticate"), signal);
      response = await this.send(endpoint, path, headers, signal);
    }
    const wanted = "range" in headers ? [200, 206, 416] : [200];
    if (wanted.includes(response.status)) return response;
    response.close();
    throw failure(response, endpoint, `${this.reference.repository} ${path}`);
  }

  /**
   * One answer from outside of the registry, which gets no login; without TLS only where the registry has none.
   * @throws BangerError `registry_protocol`, `image_not_found`, `registry_failed`, `registry_unreachable`
   */
  async getElsewhere(
    place: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const url = URL.canParse(place) ? new URL(place) : undefined;
    const own = this.endpoints.at(-1) as Endpoint;
    const plain = url?.protocol === "http:" && own.base.startsWith("http:");
    if (url === undefined || !(plain || url.protocol === "https:"))
      throw new BangerError("registry_protocol", `${own.name} sends for a layer to ${JSON.stringify(place)}`);
    const response = await this.access.http({ url, headers: { ...always, ...headers }, signal });
    if ([200, 206, 416].includes(response.status)) return response;
    response.close();
    throw failure(response, { ...own, name: url.host }, "a layer");
  }

  private send(
    endpoint: Endpoint,
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const url = new URL(`${endpoint.base}/v2/${this.reference.repository}/${path}`);
    const { authorization } = endpoint;
    const all = { ...always, ...headers };
    return this.access.http({
      url,
      headers: authorization === undefined ? all : { ...all, authorization },
      signal,
    });
  }

  private async login(endpoint: Endpoint, challenge: string | undefined, signal: AbortSignal): Promise<void> {
    const { http } = this.access;
    endpoint.authorization = await authorize(challenge, {
      http,
      from: new URL(endpoint.base),
      registry: endpoint.name,
      repository: this.reference.repository,
      credentials: await findCredentials(this.access.credentials, endpoint.name, signal),
      signal,
    });
  }
}

/** Pure: names of images in registries, with Docker's defaults. */
import { BangerError } from "../lib/errors.js";

export interface Reference {
  /** `host` or `host:port`; `docker.io` for Docker's own. */
  registry: string;
  repository: string;
  /** What to ask for: a digest if one is given, else a tag. */
  tag: string;
  digest: string | undefined;
}

const component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const hostPattern = new RegExp(String.raw`^(?:${label}(?:\.${label})*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$`);
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/;
const longestRepository = 255;
/** Of a name of a host, RFC 1035, with its port. */
const longestRegistry = 253 + 6;

const isDigest = (text: string): boolean => digestPattern.test(text);

const looksLikeHost = (part: string): boolean =>
  part.includes(".") || part.includes(":") || part === "localhost" || part.toLowerCase() !== part;

function invalid(text: string, why: string): BangerError {
  return new BangerError("reference_invalid", `${JSON.stringify(text)} does not name an image: ${why}`, {
    hint: "an image is named like debian:12, ghcr.io/acme/dev:latest or localhost:5000/dev@sha256:…",
  });
}

/** Cuts at the last `mark` after the last slash. */
function cutTag(text: string): [string, string | undefined] {
  const at = text.lastIndexOf(":");
  return at > text.lastIndexOf("/") ? [text.slice(0, at), text.slice(at + 1)] : [text, undefined];
}

/**
 * Reads `[registry[:port]/]repository[:tag][@digest]`. A first part without dot, colon or capitals is not a registry.
 * @throws BangerError `reference_invalid`
 */
export function parseReference(text: string): Reference {
  const [named, digest, ...more] = text.split("@");
  if (named === undefined || more.length > 0) throw invalid(text, "it has more than one @");
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, `${digest} is not a digest`);
  const slash = named.indexOf("/");
  const first = slash === -1 ? "" : named.slice(0, slash);
  const hasHost = slash !== -1 && looksLikeHost(first);
  const [path, tag] = cutTag(hasHost ? named.slice(slash + 1) : named);
  const given = hasHost ? first : "docker.io";
  const registry = given === "index.docker.io" ? "docker.io" : given;
  const repository = registry === "docker.io" && !path.includes("/") ? `library/${path}` : path;
  if (registry.length > longestRegistry || !hostPattern.test(registry))
    throw invalid(text, `${registry} is not a registry`);
  if (repository.length > longestRepository || !repositoryPattern.test(repository))
    throw invalid(text, `${path} is not a repository`);
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid(text, `${tag} is not a tag`);
  return { registry, repository, tag: tag ?? "latest", digest };
}

/** The reference in full. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}

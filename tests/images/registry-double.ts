/** A registry on loopback that holds one image, hands out tokens if told to, and misbehaves on demand. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface Blob {
  digest: string;
  size: number;
  bytes: Buffer;
}

export type Misbehave = (request: IncomingMessage, response: ServerResponse, bytes: Buffer) => boolean;

export interface RegistryDouble {
  host: string;
  layers: Blob[];
  /** Paths in the order in which they were asked for, with the range where there was one. */
  asked: string[];
  /** Takes an answer over by returning true. */
  misbehave: Misbehave;
  /** Set to want a token for this user and password. */
  login: { user: string; password: string } | undefined;
  /** Puts other bytes in the manifest's place. */
  manifest: Buffer;
  manifestType: string;
  stop(): Promise<void>;
}

export const blobOf = (bytes: Buffer): Blob => ({
  digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
  size: bytes.length,
  bytes,
});

const layerType = "application/vnd.oci.image.layer.v1.tar";
export const manifestType = "application/vnd.oci.image.manifest.v1+json";

export function imageOf(layers: readonly Blob[]): { manifest: Buffer; config: Blob } {
  const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digest) };
  const config = blobOf(Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", rootfs })));
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: config.digest,
      size: config.size,
    },
    layers: layers.map(({ digest, size }) => ({ mediaType: layerType, digest, size })),
  };
  return { manifest: Buffer.from(JSON.stringify(manifest)), config };
}

const token = "token-of-the-double";

/** Serves uncompressed layers as an image of any name and tag. */
export async function registryDouble(archives: readonly Buffer[]): Promise<RegistryDouble> {
  const layers = archives.map(blobOf);
  const { manifest, config } = imageOf(layers);
  const blobs = new Map([config, ...layers].map((blob) => [blob.digest, blob.bytes]));
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", `http://${double.host}`);
    const { range, authorization } = request.headers;
    double.asked.push(url.pathname + (range === undefined ? "" : ` ${range}`));
    if (url.pathname === "/token") return giveToken(double, authorization, url, response);
    if (double.login !== undefined && authorization !== `Bearer ${token}`) {
      const challenge = `Bearer realm="http://${double.host}/token",service="double",scope="repository:a/b:pull"`;
      response.writeHead(401, { "www-authenticate": challenge }).end();
      return;
    }
    const last = url.pathname.split("/").at(-1) as string;
    const isManifest = url.pathname.includes("/manifests/");
    const bytes = isManifest ? double.manifest : blobs.get(last);
    if (bytes === undefined) response.writeHead(404).end();
    else if (double.misbehave(request, response, bytes)) return;
    else if (isManifest) response.writeHead(200, { "content-type": double.manifestType }).end(bytes);
    else send(bytes, range, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const double: RegistryDouble = {
    host: `127.0.0.1:${port}`,
    layers,
    asked: [],
    misbehave: () => false,
    login: undefined,
    manifest,
    manifestType,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return double;
}

function giveToken(
  double: RegistryDouble,
  authorization: string | undefined,
  url: URL,
  response: ServerResponse,
): void {
  const { user, password } = double.login ?? { user: "", password: "" };
  const wanted = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  const scoped = url.searchParams.get("scope") === "repository:a/b:pull";
  if (authorization === wanted && scoped) response.writeHead(200).end(JSON.stringify({ token }));
  else response.writeHead(401).end();
}

/** All of the bytes, or from where the range begins. */
export function send(bytes: Buffer, range: string | undefined, response: ServerResponse): void {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const headers = from === 0 ? {} : { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(from === 0 ? 200 : 206, { ...headers, "content-length": bytes.length - from });
  response.end(bytes.subarray(from));
}

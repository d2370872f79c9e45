/** A small client of Firecracker's HTTP API: what banger asks of it, typed by hand, one exchange per connection. */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { bodyOf, exchange, type Reply } from "../../../client/socket-http.js";
import { BangerError } from "../../../lib/errors.js";

/** Tokens that come back at a steady rate; `size` of them in `refill_time` milliseconds. */
export interface TokenBucket {
  size: number;
  refill_time: number;
  one_time_burst?: number;
}

export interface RateLimiter {
  /** Tokens are bytes. */
  bandwidth?: TokenBucket;
  /** Tokens are operations. */
  ops?: TokenBucket;
}

interface Bodies {
  "/machine-config": { vcpu_count: number; mem_size_mib: number; smt?: boolean };
  "/boot-source": { kernel_image_path: string; initrd_path?: string; boot_args?: string };
  "/vsock": { guest_cid: number; uds_path: string };
  "/entropy": { rate_limiter?: RateLimiter };
  "/balloon": { amount_mib: number; deflate_on_oom: boolean; free_page_reporting?: boolean };
  "/actions": { action_type: "InstanceStart" | "SendCtrlAltDel" };
}

interface Drive {
  drive_id: string;
  path_on_host: string;
  is_root_device: boolean;
  is_read_only: boolean;
  /** `Writeback`: the guest's flushes reach the host's disk. */
  cache_type?: "Unsafe" | "Writeback";
  rate_limiter?: RateLimiter;
}

interface NetworkInterface {
  iface_id: string;
  host_dev_name: string;
  guest_mac: string;
  rx_rate_limiter?: RateLimiter;
  tx_rate_limiter?: RateLimiter;
}

/** One thing that Firecracker is told. The paths in it are those of its own root. */
export type ApiCall =
  | { [P in keyof Bodies]: { method: "PUT"; path: P; body: Bodies[P] } }[keyof Bodies]
  | { method: "PUT"; path: `/drives/${string}`; body: Drive }
  | { method: "PATCH"; path: `/drives/${string}`; body: { drive_id: string; path_on_host: string } }
  | { method: "PUT"; path: `/network-interfaces/${string}`; body: NetworkInterface };

const Instance = Type.Object({
  state: Type.Union([Type.Literal("Not started"), Type.Literal("Running"), Type.Literal("Paused")]),
  vmm_version: Type.String({ maxLength: 64 }),
});
const Fault = Type.Object({ fault_message: Type.String() });

/** What Firecracker says of itself. */
export type Instance = Static<typeof Instance>;

export interface FirecrackerApi {
  /** @throws BangerError `firecracker_refused` with Firecracker's own words, or `firecracker_unreachable`. */
  tell(call: ApiCall, signal?: AbortSignal): Promise<void>;
  /** @throws BangerError `firecracker_unreachable` */
  instance(signal?: AbortSignal): Promise<Instance>;
}

/** Firecracker answers at once, but for the start of a guest, for which it reads the kernel. */
const usualMs = 10_000;
const startMs = 60_000;
/** Replies are short; one that is longer is none of Firecracker's. */
const longestReply = 65_536;

const unreachable = (socketPath: string, cause: unknown): BangerError =>
  new BangerError(
    "firecracker_unreachable",
    `Firecracker does not answer at ${socketPath}: ${(cause as Error).message}`,
    { retry: "later", cause },
  );

/** The reply's body. One without a length has none: Firecracker keeps the connection open behind it. */
async function textOf(reply: Reply): Promise<string> {
  try {
    if (Number(reply.headers.get("content-length") ?? 0) > longestReply)
      throw new Error("its reply is too long");
    if (!reply.headers.has("content-length")) return "";
    const parts: Buffer[] = [];
    for await (const part of bodyOf(reply)) parts.push(part);
    return Buffer.concat(parts).toString("utf8");
  } finally {
    reply.socket.destroy();
  }
}

function parsed<T extends TSchema>(schema: T, text: string): Static<T> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(schema, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The API of the Firecracker that listens at `socketPath`. */
export function firecrackerApi(socketPath: string): FirecrackerApi {
  async function ask(method: string, path: string, body: object | undefined, signal?: AbortSignal) {
    const starts = body !== undefined && "action_type" in body;
    const timeoutMs = starts ? startMs : usualMs;
    const silence = () => new Error(`no answer to ${method} ${path} in ${timeoutMs} ms`);
    try {
      const reply = await exchange({
        socketPath,
        method,
        path,
        headers: { accept: "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal,
        timeoutMs,
        onSilence: silence,
      });
      return { status: reply.status, text: await textOf(reply) };
    } catch (error) {
      signal?.throwIfAborted();
      throw unreachable(socketPath, error);
    }
  }

  return {
    async tell({ method, path, body }, signal) {
      const { status, text } = await ask(method, path, body, signal);
      if (status >= 200 && status < 300) return;
      const fault = parsed(Fault, text)?.fault_message ?? `status ${status}`;
      throw new BangerError("firecracker_refused", `Firecracker refused ${method} ${path}: ${fault}`, {
        retry: "later",
      });
    },
    async instance(signal) {
      const { text } = await ask("GET", "/", undefined, signal);
      const instance = parsed(Instance, text);
      if (instance !== undefined) return instance;
      throw unreachable(socketPath, new Error("its answer is not Firecracker's"));
    },
  };
}

/** Asks a TCP port of a VM whether a web server answers there: HTTPS first, then HTTP. */
import { type ClientRequest, type RequestOptions, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Clock } from "../lib/clock.js";
import { deadline } from "../lib/deadline.js";

export type Scheme = "https" | "http";

/** For each of the two; a guest without hardware virtualization takes its time over a TLS handshake. */
const deadlineMs = 1_500;

export interface WebTarget {
  host: string;
  port: number;
  /** The name that the client would ask for; servers may choose certificate and site by it. */
  name: string;
}

/** What the port speaks; null when it is neither. Never rejects. */
export async function webScheme(target: WebTarget, clock: Clock, gone: AbortSignal): Promise<Scheme | null> {
  const { host, port, name } = target;
  const options = {
    host,
    port,
    method: "HEAD",
    path: "/",
    agent: false,
    headers: { host: `${name}:${port}`, "user-agent": "banger-ports" },
  };
  const ask = async (send: (bounded: RequestOptions) => ClientRequest) => {
    const bound = deadline(clock, deadlineMs, () => new Error("no answer in time"), gone);
    return answers(send({ ...options, signal: bound.signal })).finally(bound.release);
  };
  // A certificate that no authority signed is the usual case, and nothing of the answer is believed.
  const https = { rejectUnauthorized: false, servername: name };
  if (await ask((bounded) => requestHttps({ ...bounded, ...https }))) return "https";
  return (await ask((bounded) => requestHttp(bounded))) ? "http" : null;
}

/** Whether a whole response head comes back, whatever it says. */
function answers(request: ClientRequest): Promise<boolean> {
  return new Promise((resolve) => {
    request.on("response", (response) => {
      resolve(true);
      response.resume();
      request.destroy();
    });
    request.on("error", () => resolve(false));
    request.on("close", () => resolve(false));
    request.end();
  });
}

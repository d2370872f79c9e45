/** The API's server: one route per entry of the contract, checked requests, errors with a fix. */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Route } from "../contract/basics.js";
import { routes } from "../contract/contract.js";
import { execProtocol } from "../contract/guest.js";
import { argumentsTooLong } from "../guest/exec-stream.js";
import { BangerError, type ErrorBody, errorBody } from "../lib/errors.js";
import { bulkRoutes } from "./bulk.js";
import { daemonRoutes } from "./daemon.js";
import { eventRoutes } from "./events.js";
import { execRoutes } from "./exec.js";
import { Holds, holdRoutes } from "./holds.js";
import { imageRoutes } from "./images.js";
import type { ApiDeps, Call, Handle } from "./route.js";
import { Upgrades } from "./streams.js";
import { unknownVmRoutes } from "./unknown.js";
import { validator } from "./validation.js";
import { vmRoutes } from "./vms.js";

const statusOfCode: Record<string, number> = {
  invalid_request: 400,
  bad_duration: 400,
  not_found: 404,
  vm_not_found: 404,
  image_missing: 404,
  image_unknown: 404,
  image_not_found: 404,
  kernel_unknown: 404,
  kernel_not_found: 404,
  image_in_use: 409,
  image_differs: 409,
  image_managed: 409,
  name_invalid: 400,
  reference_invalid: 400,
  ref_ambiguous: 409,
  name_taken: 409,
  not_now: 409,
  client_gone: 409,
  vm_not_running: 409,
  upgrade_required: 426,
  internal: 500,
};

/** HTTP status of an error body: the code decides, else whether trying again can help. */
const statusOf = (error: ErrorBody): number =>
  statusOfCode[error.code] ?? (error.retry === "later" ? 503 : 422);

const maximumBodyBytes = 2 * 1024 * 1024;

/** The server, ready to listen. */
export function buildApi(deps: ApiDeps): FastifyInstance {
  const app = Fastify({
    logger: false,
    forceCloseConnections: true,
    genReqId: () => deps.clock.hex(6),
    // Of a request that comes to no route, such as one with a garbled URL.
    frameworkErrors: (error, request, reply) => void answerError(deps, error, request, reply),
  });
  // The contract's own validators run in the handlers; Fastify's would load a second schema compiler.
  app.setNotFoundHandler((request) => {
    throw new BangerError("not_found", `no such route: ${request.method} ${request.url}`);
  });
  app.setErrorHandler((thrown, request, reply) => answerError(deps, thrown, request, reply));
  const upgrades = new Upgrades(app);
  const handle: Handle = (name, handler) => route(app, routes[name], handler as (call: Call) => unknown);
  const holds = new Holds();
  vmRoutes(handle, deps, holds);
  holdRoutes(handle, deps, holds, upgrades);
  execRoutes(handle, deps, upgrades);
  bulkRoutes(handle, deps);
  unknownVmRoutes(handle, deps);
  imageRoutes(handle, deps);
  eventRoutes(handle, deps);
  daemonRoutes(handle, deps);
  app.addHook("preClose", () => upgrades.close());
  return app;
}

function answerError(
  { warn }: ApiDeps,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = apiError(thrown, request);
  if (error.code === "internal") {
    const stack = thrown instanceof Error ? thrown.stack : String(thrown);
    warn("a request failed", { request: `${request.method} ${request.url}`, stack });
  }
  // RFC 9110, 15.5.22: such a reply names the protocol that is wanted.
  if (error.code === "upgrade_required") reply.header("upgrade", execProtocol);
  return reply.status(statusOf(error)).send({ error });
}

function apiError(thrown: unknown, { routeOptions }: FastifyRequest): ErrorBody {
  const { statusCode: status, code } = thrown as { statusCode?: number; code?: string };
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE" && routeOptions.url === routes.vmExec.path) {
    return argumentsTooLong(routes.vmExec.bodyMaxBytes).toBody();
  }
  if (status !== undefined && status < 500) {
    return { code: "invalid_request", message: (thrown as Error).message, retry: "never" };
  }
  return errorBody(thrown);
}

/** A protocol's bytes go both ways at once, which a plain request cannot carry. */
const upgradeRequired = (protocol: string): BangerError =>
  new BangerError("upgrade_required", `commands run over a connection upgraded to ${protocol}`, {
    hint: "use banger vm exec REF -- CMD; docs/openapi.json describes the frames",
  });

function route(app: FastifyInstance, entry: Route, handler: (call: Call) => unknown) {
  const { method, path, body, query, headers: known, upgrade, bodyMaxBytes = maximumBodyBytes } = entry;
  const checkBody = body === undefined ? () => undefined : validator(body, "body");
  const checkQuery = query === undefined ? () => ({}) : validator(query, "query");
  const checkHeaders = known === undefined ? () => ({}) : validator(known, "headers");
  app.route({
    method,
    url: path,
    bodyLimit: bodyMaxBytes,
    onRequest: async ({ headers }) => {
      if (upgrade !== undefined && headers.upgrade !== upgrade) throw upgradeRequired(upgrade);
    },
    handler: (request: FastifyRequest, reply: FastifyReply) => {
      const gone = new AbortController();
      reply.raw.on("close", () => gone.abort());
      return handler({
        params: request.params as Record<string, string>,
        body: checkBody(request.body),
        query: checkQuery(request.query),
        headers: checkHeaders(request.headers),
        cause: `request:${request.id}`,
        gone: gone.signal,
        reply,
      });
    },
  });
}

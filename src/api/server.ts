/** The API's server: one route per entry of the contract, checked requests, errors with a mend. */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Route } from "../contract/basics.js";
import { routes } from "../contract/contract.js";
import { BangerError, type ErrorBody, errorBody } from "../lib/errors.js";
import { bulkRoutes } from "./bulk.js";
import { daemonRoutes } from "./daemon.js";
import { eventRoutes } from "./events.js";
import { execProxy, upgradeRequired } from "./exec-proxy.js";
import { Holds, holdRoutes } from "./holds.js";
import { imageRoutes } from "./images.js";
import type { ApiDeps, Call, Handle } from "./route.js";
import { unknownVmRoutes } from "./unknown.js";
import { validator } from "./validation.js";
import { guestCommands, vmRoutes } from "./vms.js";

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
    bodyLimit: maximumBodyBytes,
    forceCloseConnections: true,
    genReqId: () => deps.clock.hex(6),
  });
  // The contract's own validators run in the handlers; Fastify's would load a second schema compiler.
  app.setNotFoundHandler((request) => {
    throw new BangerError("not_found", `no such route: ${request.method} ${request.url}`);
  });
  app.setErrorHandler((thrown, request, reply) => {
    const error = apiError(thrown);
    if (error.code === "internal") {
      const stack = thrown instanceof Error ? thrown.stack : String(thrown);
      deps.warn("a request failed", { request: `${request.method} ${request.url}`, stack });
    }
    if (error.code === "upgrade_required") reply.header("upgrade", "banger-exec");
    return reply.status(statusOf(error)).send({ error });
  });
  const handle: Handle = (name, handler) => route(app, routes[name], handler as (call: Call) => unknown);
  const holds = new Holds();
  vmRoutes(handle, deps, holds);
  holdRoutes(handle, deps, holds);
  bulkRoutes(handle, deps);
  unknownVmRoutes(handle, deps);
  imageRoutes(handle, deps);
  eventRoutes(handle, deps);
  daemonRoutes(handle, deps);
  app.post(routes.vmExec.path, () => Promise.reject(upgradeRequired()));
  const commands = execProxy({ ...guestCommands(deps), statusOf });
  app.server.on("upgrade", commands.upgrade);
  app.addHook("preClose", async () => {
    holds.close();
    await commands.close();
  });
  return app;
}

function apiError(thrown: unknown): ErrorBody {
  const status = (thrown as { statusCode?: number }).statusCode;
  if (status !== undefined && status < 500) {
    return { code: "invalid_request", message: (thrown as Error).message, retry: "never" };
  }
  return errorBody(thrown);
}

function route(app: FastifyInstance, { method, path, body, query }: Route, handler: (call: Call) => unknown) {
  const checkBody = body === undefined ? () => undefined : validator(body, "body");
  const checkQuery = query === undefined ? () => ({}) : validator(query, "query");
  app.route({
    method,
    url: path,
    handler: (request: FastifyRequest, reply: FastifyReply) => {
      const gone = new AbortController();
      reply.raw.on("close", () => gone.abort());
      return handler({
        params: request.params as Record<string, string>,
        body: checkBody(request.body),
        query: checkQuery(request.query),
        cause: `request:${request.id}`,
        gone: gone.signal,
        reply,
      });
    },
  });
}

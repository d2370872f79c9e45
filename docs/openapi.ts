/** The text of docs/openapi.json. */
import {
  ApiError,
  DaemonView,
  DefaultsView,
  EventView,
  ExecRequest,
  HealthView,
  HistoryView,
  ImagePullResult,
  ImageView,
  PortView,
  ReplayView,
  routes,
  SshView,
  VerifyView,
  VmAction,
  VmActionResult,
  VmCreate,
  VmSpecSchema,
  VmView,
  WhyView,
} from "../src/contract.js";
import { openApiDocument } from "../src/openapi.js";

/** Schemas that have a name in the document. */
const schemas = {
  ApiError,
  DaemonView,
  DefaultsView,
  EventView,
  ExecRequest,
  HealthView,
  HistoryView,
  ImagePullResult,
  ImageView,
  PortView,
  ReplayView,
  SshView,
  VerifyView,
  VmAction,
  VmActionResult,
  VmCreate,
  VmSpec: VmSpecSchema,
  VmView,
  WhyView,
};

export const openApiText = (version: string): string =>
  `${JSON.stringify(openApiDocument(routes, schemas, version), null, 2)}\n`;

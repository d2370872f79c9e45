/** The text of docs/openapi.json. */

import { ApiError } from "../src/contract/basics.js";
import {
  HealthView,
  HistoryView,
  PortView,
  routes,
  VmAction,
  VmActionResult,
  VmCreate,
  VmView,
  WhyView,
} from "../src/contract/contract.js";
import { DaemonView, DefaultsView } from "../src/contract/daemon.js";
import { EventView, ReplayView, VerifyView } from "../src/contract/events.js";
import { ExecRequest, SshView } from "../src/contract/guest.js";
import { CachePruneResult, ImageDetails, ImagePullResult, ImageView } from "../src/contract/images.js";
import { openApiDocument } from "../src/contract/openapi.js";
import { VmSpecSchema } from "../src/contract/spec.js";

/** Schemas that have a name in the document. */
const schemas = {
  ApiError,
  CachePruneResult,
  DaemonView,
  DefaultsView,
  EventView,
  ExecRequest,
  HealthView,
  HistoryView,
  ImageDetails,
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

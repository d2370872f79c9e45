/** Every error code, with what it means and what fixes it: docs/troubleshooting.md is made from it. Types for the rest. */
import type { CodeTexts } from "./code-texts.js";
import { lineCodes, startCodes, systemCodes } from "./error-codes-host.js";
import { imageCodes } from "./error-codes-images.js";
import { vmCodes, workspaceCodes } from "./error-codes-vms.js";

/** The chapters of docs/troubleshooting.md. A code stands in one of them. */
export const errorCodes = {
  "The command line and the API": lineCodes,
  Starting: startCodes,
  "System mode": systemCodes,
  VMs: vmCodes,
  Repositories: workspaceCodes,
  "Images and kernels": imageCodes,
} as const satisfies Readonly<Record<string, CodeTexts>>;

type Texts = typeof lineCodes &
  typeof startCodes &
  typeof systemCodes &
  typeof vmCodes &
  typeof workspaceCodes &
  typeof imageCodes;

/** A code that banger raises. */
export type ErrorCode = keyof Texts;

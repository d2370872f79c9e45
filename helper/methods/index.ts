/** Every method of the helper. */
import type { MethodTable } from "../method.js";
import { about } from "./about.js";

export const methodTable: Partial<MethodTable> = { about };

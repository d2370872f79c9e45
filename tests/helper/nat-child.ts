/** What packets of guests get out of the host, back in, and into the host itself. */
import { test } from "node:test";
import { contextOf } from "./host.js";
import { natTests } from "./nat-tests.js";

natTests(test, contextOf());

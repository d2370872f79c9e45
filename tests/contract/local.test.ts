/** The world contract on this host, in user mode. */
import { makeBench, userMode } from "./local-bench.js";
import { worldContract } from "./world.js";

worldContract("this host", () => makeBench(userMode()));

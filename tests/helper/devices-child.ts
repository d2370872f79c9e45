/** Puts a file behind a loop device, says so, and waits for its end. */
import { openSync } from "node:fs";
import { attachLoop } from "../../helper/devices/loop.js";

const [path = "", label = ""] = process.argv.slice(2);
attachLoop(openSync(path, "r+"), label, "write");
console.log("attached");
process.stdin.resume();

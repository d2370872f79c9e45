/** In a mount namespace whose mounts others share: starts a VM's VMM and says whether a mount came out of its jail. */
import { readFileSync } from "node:fs";
import type { Params } from "../../helper/contract.js";
import { startVmm } from "../../helper/methods/start-vmm.js";
import { contextFor } from "./device-place.js";

const [top = "", params = ""] = process.argv.slice(2);
const context = contextFor(top);
context.metadata.firecracker = `${top}/bin/firecracker`;
context.metadata.jailer = `${top}/bin/jailer`;
const mounts = () => readFileSync("/proc/self/mountinfo", "utf8");
const before = mounts();
await startVmm(JSON.parse(params) as Params<"startVmm">, context);
const shared = / shared:\d+ /.test(before) ? "shared" : "private";
console.log(`${shared}, ${mounts() === before ? "unchanged" : mounts()}`);

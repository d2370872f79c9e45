/** The guest's initramfs: the modules that lead to the root disk, packed with the image, and the agent as /init. */
import { createHash } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { exists, publishContent } from "../../host/publish.js";
import { modulesFile } from "../manifest.js";
import { type CpioEntry, characterDevice, cpioArchive, directory, regularFile } from "./cpio.js";
import { type BootModule, moduleName } from "./kernel-modules.js";
import { unpackElf } from "./unpack.js";

/** Where the guest's first process reads what to load; see guest-agent/init.c. */
const moduleList = "modules.list";
/** No module is larger than this once unpacked, in bytes. */
const maximumModule = 16 << 20;

/** The image's part of the initramfs: modules in loading order and the list of them. */
export function modulesArchive(modules: readonly (BootModule & { content: Buffer })[]): Buffer {
  const nameIn = (path: string) => `${moduleName(path)}.ko`;
  const files = modules.map(({ path, content }) => ({
    path: nameIn(path),
    mode: regularFile | 0o400,
    content: unpackElf(content, maximumModule, path),
  }));
  const lines = modules.map(
    ({ path, device }) => `/${nameIn(path)}${device === undefined ? "" : ` ${device}`}\n`,
  );
  const list = Buffer.from(lines.join(""));
  return cpioArchive([...files, { path: moduleList, mode: regularFile | 0o400, content: list }]);
}

/** The agent's part: the program itself, and the console that it speaks to before there is a /dev. */
function agentArchive(agent: Buffer): Buffer {
  const entries: CpioEntry[] = [
    { path: "dev", mode: directory | 0o755 },
    { path: "dev/console", mode: characterDevice | 0o600, device: [5, 1] },
    { path: "init", mode: regularFile | 0o755, content: agent },
  ];
  return cpioArchive(entries);
}

const initrdName = (agent: Buffer): string =>
  `initrd-${createHash("sha256").update(agent).digest("hex").slice(0, 16)}.cpio`;

/**
 * The path of the initramfs for this image and agent, built if it is missing: the kernel unpacks archives that
 * follow one another. Those of other agents go; a running guest has long read its own.
 */
export async function ensureInitrd(imageDirectory: string, agentPath: string): Promise<string> {
  const agent = await readFile(agentPath);
  const name = initrdName(agent);
  const path = `${imageDirectory}/${name}`;
  if (await exists(path)) return path;
  const modules = await readFile(`${imageDirectory}/${modulesFile}`);
  await publishContent(path, Buffer.concat([modules, agentArchive(agent)]), 0o600);
  for (const file of await readdir(imageDirectory))
    if (/^initrd-[0-9a-f]{16}\.cpio$/.test(file) && file !== name) await rm(`${imageDirectory}/${file}`);
  return path;
}

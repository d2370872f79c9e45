/** Takes kernel and modules out of a finished root disk, without mounting it. */
import { readFile, rm, writeFile } from "node:fs/promises";
import type { RunTool } from "../../host/run-tool.js";
import { BangerError } from "../../lib/errors.js";
import { kernelFile, modulesFile, rootfsFile } from "../manifest.js";
import { modulesArchive } from "./initrd.js";
import { type BootModule, bootModules, loadOrder } from "./kernel-modules.js";
import { extractVmlinux } from "./vmlinux.js";

/** The newest kernel release among file names like "vmlinuz-6.1.0-13-amd64". */
export function newestKernel(names: readonly string[]): string | undefined {
  const releases = names.flatMap((name) => /^vmlinuz-(.+)$/.exec(name)?.[1] ?? []);
  return releases.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
}

/** Names in a directory, as debugfs lists them: /inode/mode/uid/gid/name/size/. */
export const parseListing = (text: string): string[] =>
  text.split("\n").flatMap((line) => line.split("/")[5] || []);

/** Writes vmlinux and modules.cpio beside the root disk in `directory`; returns the kernel's release. */
export async function extractBootFiles(
  directory: string,
  runTool: RunTool,
  signal: AbortSignal,
): Promise<string> {
  // By names relative to the directory: in a path, debugfs takes "?" for options and quotes for its own.
  const debugfs = (request: string) =>
    runTool({
      tool: "debugfs",
      argv: ["-R", request, rootfsFile],
      cwd: directory,
      writes: directory,
      package: "e2fsprogs",
      signal,
    });
  const scratch = "extracted";
  const take = async (path: string): Promise<Buffer> => {
    await debugfs(`dump "${path}" "${scratch}"`);
    const content = await readFile(`${directory}/${scratch}`);
    await rm(`${directory}/${scratch}`);
    return content;
  };
  const release = newestKernel(parseListing(await debugfs("ls -p /boot")));
  if (release === undefined) throw new BangerError("kernel_unusable", "the image has no kernel in /boot");
  await writeFile(`${directory}/${kernelFile}`, extractVmlinux(await take(`/boot/vmlinuz-${release}`)), {
    mode: 0o600,
  });
  const base = `/usr/lib/modules/${release}`;
  const [needs, builtin] = [await take(`${base}/modules.dep`), await take(`${base}/modules.builtin`)];
  const modules: (BootModule & { content: Buffer })[] = [];
  for (const module of loadOrder(needs.toString(), builtin.toString(), bootModules))
    modules.push({ ...module, content: await take(`${base}/${module.path}`) });
  await writeFile(`${directory}/${modulesFile}`, modulesArchive(modules), { mode: 0o600 });
  return release;
}

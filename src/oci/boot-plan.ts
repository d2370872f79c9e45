/** Pure: what an image of a container lacks to be a machine, and what banger puts into it. */
import { BangerError } from "../lib/errors.js";
import type { ExtraEntry, RootfsView } from "./layers.js";

export interface BootPlan {
  entries: ExtraEntry[];
  /** For the kernel's command line. */
  bootArguments: string;
  /** Whether the image brings the init that its machine will run. */
  hasInit: boolean;
}

const firstBootPath = "/usr/lib/banger/first-boot";

/** Nobody can type on the console, and without udev systemd would wait for it for a minute and a half. */
const noConsoleLogin = "systemd.getty_auto=no";

const isOurs = (path: string): boolean => path.endsWith("-banger.conf");

/** Enough to tell one program from another. */
const compared = 1 << 16;

/** The image's own init; busybox alone is none, as its table names openrc, which container images lack. */
function hasInit(view: RootfsView): boolean {
  const init = view.read("/sbin/init", compared);
  if (init === undefined) return false;
  const busybox = view.read("/bin/busybox", compared);
  if (busybox === undefined || !init.equals(busybox)) return true;
  return view.type("/sbin/openrc") === "file" || view.type("/etc/init.d/rcS") === "file";
}

/** What banger puts into images. */
export interface BootFiles {
  /** What `guest-agent/first-boot` holds. */
  firstBoot: Buffer;
  /** What `catalog/guest` holds. Only what bears banger's name takes the place of a file that the image has. */
  guestFiles: readonly { path: string; content: string }[];
  /** Where the image's containers run; "" for nowhere special. */
  workingDirectory: string;
}

/**
 * @throws BangerError `image_unbootable` when the image has neither an init nor a shell to get one with
 */
export function planBoot(view: RootfsView, files: BootFiles): BootPlan {
  const { firstBoot, guestFiles, workingDirectory } = files;
  const own = hasInit(view);
  if (!own && view.type("/bin/sh") !== "file")
    throw new BangerError(
      "image_unbootable",
      "the image has neither an init nor a shell, so nothing can run in it",
      {
        hint: "use an image of a distribution, such as debian:12 or alpine:3",
      },
    );
  const entries: ExtraEntry[] = [];
  for (const { path, content } of guestFiles)
    if (isOurs(path) || view.type(path) === undefined)
      entries.push({ type: "file", path, mode: 0o644, content: Buffer.from(content) });
  // An empty one keeps systemd from asking the console who this machine is to be.
  if (view.type("/etc/machine-id") === undefined)
    entries.push({ type: "file", path: "/etc/machine-id", mode: 0o444, content: Buffer.alloc(0) });
  // What runs containers makes it where the image only names it.
  if (workingDirectory.startsWith("/") && view.type(workingDirectory) === undefined)
    entries.push({ type: "directory", path: workingDirectory, mode: 0o755 });
  if (!own) entries.push({ type: "file", path: firstBootPath, mode: 0o755, content: firstBoot });
  const bootArguments = own ? noConsoleLogin : `banger.init=${firstBootPath} ${noConsoleLogin}`;
  return { entries, bootArguments, hasInit: own };
}

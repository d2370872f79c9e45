/** `about`: which helper this is, and what of this host it could use. */
import { readFileSync } from "node:fs";
import type { Result } from "../contract.js";
import type { HelperContext, Method } from "../method.js";
import { errorOf } from "../refusal.js";
import type { ToolName } from "../tools.js";

export const about: Method<"about"> = async (_, context) => {
  const works = (tool: ToolName, ...argv: string[]) =>
    context.run(tool, argv).then(
      () => true,
      () => false,
    );
  const [deviceMapper, nft, iptables, resolver, firecracker] = await Promise.all([
    // Opens /dev/mapper/control, at which the kernel loads what it has.
    works("dmsetup", "version"),
    works("nft", "list", "tables"),
    works("iptables", "-S"),
    works("resolvectl", "status"),
    firecrackerOf(context),
  ]);
  const firewall = nft ? "nft" : iptables ? "iptables" : null;
  context.signal.throwIfAborted();
  return { version: programVersion(), deviceMapper, firewall, resolver, ...firecracker };
};

/** Both programs have one version, for jailer hands its arguments on to Firecracker. */
async function firecrackerOf({
  run,
}: HelperContext): Promise<Pick<Result<"about">, "firecracker" | "problem">> {
  try {
    const [firecracker, jailer] = await Promise.all([
      run("firecracker", ["--version"]),
      run("jailer", ["--version"]),
    ]);
    const [version, ofJailer] = [versionIn(firecracker.stdout), versionIn(jailer.stdout)];
    if (version === null) return { firecracker: null, problem: "firecracker does not tell its version" };
    if (version === ofJailer) return { firecracker: version, problem: null };
    return {
      firecracker: null,
      problem: `firecracker is version ${version}, jailer is ${ofJailer ?? "unknown"}`,
    };
  } catch (error) {
    return { firecracker: null, problem: errorOf(error).message };
  }
}

const versionIn = (output: string): string | null =>
  /^(?:Firecracker|Jailer) v(\d+\.\d+\.\d+\S*)/im.exec(output)?.[1] ?? null;

function programVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

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
  const [deviceMapper, firewall, resolver, firecracker] = await Promise.all([
    // Opens /dev/mapper/control, at which the kernel loads what it has.
    works("dmsetup", "version"),
    firewallOf(context),
    works("resolvectl", "status"),
    firecrackerOf(context),
  ]);
  context.signal.throwIfAborted();
  return { version: programVersion(), deviceMapper, firewall, resolver, ...firecracker };
};

/** As network/firewall.ts chooses: iptables only where there is no nft, not where nft does not work. */
async function firewallOf({ run }: HelperContext): Promise<Result<"about">["firewall"]> {
  try {
    await run("nft", ["list", "tables"]);
    return "nft";
  } catch (error) {
    if (errorOf(error).code !== "tool_missing") return null;
  }
  return run("iptables", ["-S"]).then(
    () => "iptables",
    () => null,
  );
}

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
    if (version === null) return { firecracker: null, problem: "firecracker does not report its version" };
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

/** Pure: what a container image says of its containers, as it holds for a command in a VM of it. */
import type { AgentExec } from "../guest/agent.js";

interface Container {
  env?: readonly string[];
  workingDirectory?: string;
  user?: string;
}

/** `NAME=VALUE` words as an environment; what is none says nothing. */
function environmentOf(words: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    words.flatMap((word) => {
      const at = word.indexOf("=");
      return at < 1 ? [] : [[word.slice(0, at), word.slice(at + 1)]];
    }),
  );
}

/** The command with the environment, directory and user that the image names; what it says itself comes first. */
export function inContainer(command: AgentExec, manifest: Record<string, unknown> | null): AgentExec {
  const { env, workingDirectory, user } = (manifest?.["oci"] ?? {}) as Container;
  const all = { ...environmentOf(env), ...command.env };
  return {
    ...(workingDirectory?.startsWith("/") && { start: workingDirectory }),
    ...(user && { user }),
    ...command,
    ...(Object.keys(all).length > 0 && { env: all }),
  };
}

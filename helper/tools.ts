/** Runs the host's own programs as root: only such that nobody else could have replaced, by their open file. */

export interface ToolResult {
  status: number;
  stdout: string;
  stderr: string;
}

/** `tool` is a name of the helper's own table ("ip", "nft", "losetup", "dmsetup", "resolvectl", …), argv what follows it. */
export type RunTool = (
  tool: string,
  argv: readonly string[],
  options?: { input?: string; goodStatus?: readonly number[] },
) => Promise<ToolResult>;

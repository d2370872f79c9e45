/** A guest that is a directory of this host: the same scripts, run by the host's own shell. */
import { spawn } from "node:child_process";
import { pipeline } from "node:stream";
import { type Guest, tail } from "../../src/workspace/guest.js";

/** `home` is where the guest's git looks for its user's settings: it has none, as a new guest has. */
export const localGuest = (home: string, env: NodeJS.ProcessEnv = {}): Guest => ({
  name: "box",
  run: (script, args, { stdin, stdout } = {}) =>
    new Promise((resolve, reject) => {
      const child = spawn("sh", ["-c", script, "sh", ...args], {
        env: { PATH: process.env["PATH"], HOME: home, LC_ALL: "C", ...env },
      });
      const stderr = tail();
      child.on("error", reject);
      child.stderr.pipe(stderr.stream);
      if (stdout === undefined) child.stdout.resume();
      else child.stdout.pipe(stdout, { end: false });
      if (stdin === undefined) child.stdin.end();
      else pipeline(stdin, child.stdin, () => undefined);
      child.on("close", (status) => resolve({ status: status ?? -1, stderr: stderr.text() }));
    }),
});

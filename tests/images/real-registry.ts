/** Debian's docker-registry on a loopback port of its own, with or without a login. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tool } from "./oci-layout.js";

export interface RealRegistry {
  /** `127.0.0.1:port`. */
  host: string;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const status = await fetch(url).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200 || status === 401) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`docker-registry ended with ${child.exitCode}`);
}

export async function startRegistry(
  directory: string,
  login?: { user: string; password: string },
): Promise<RealRegistry> {
  const host = `127.0.0.1:${await freePort()}`;
  let auth = "";
  if (login !== undefined) {
    await writeFile(`${directory}/htpasswd`, await tool("htpasswd", ["-Bbn", login.user, login.password]));
    auth = `auth: {htpasswd: {realm: test, path: ${directory}/htpasswd}}\n`;
  }
  const config = `${directory}/registry.yml`;
  const storage = `storage: {filesystem: {rootdirectory: ${directory}/registry}}`;
  await writeFile(config, `version: 0.1\nlog: {level: error}\n${storage}\nhttp: {addr: "${host}"}\n${auth}`);
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  await answers(`http://${host}/v2/`, child);
  return {
    host,
    async stop() {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

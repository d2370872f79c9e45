/** Logins: tokens, credential helpers, and who never gets to see them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { describe, test } from "node:test";
import { archives, Pulls } from "../images/pulls.js";
import { registryDouble } from "../images/registry-double.js";

const pulls = new Pulls();

describe("logins", () => {
  const login = { user: "u", password: "p" };
  const stored = async (config: unknown): Promise<string> => {
    const path = `${pulls.directory}/config.json`;
    await writeFile(path, JSON.stringify(config));
    return path;
  };

  test("are traded for a token at the server that the registry names", async () => {
    pulls.registry.login = login;
    const authFile = await stored({
      auths: { [pulls.registry.host]: { auth: Buffer.from("u:p").toString("base64") } },
    });
    assert.equal((await pulls.pull({ authFile })).layers.length, 3);
    await assert.rejects(pulls.pull({ cacheDirectory: `${pulls.directory}/other` }), {
      code: "registry_denied",
    });
  });

  test("come from credential helpers", async () => {
    pulls.registry.login = login;
    await mkdir(`${pulls.directory}/bin`);
    const helper = `${pulls.directory}/bin/docker-credential-double`;
    const answer = `{"ServerURL":"'"$server"'","Username":"u","Secret":"p"}`;
    await writeFile(
      helper,
      `#!/bin/sh\nread -r server\n[ "$1 $server" = "get ${pulls.registry.host}" ] || exit 1\necho '${answer}'\n`,
    );
    await chmod(helper, 0o755);
    const environment = { ...process.env, PATH: `${pulls.directory}/bin:${process.env.PATH}` };
    for (const config of [{ credsStore: "double" }, { credHelpers: { [pulls.registry.host]: "double" } }]) {
      const cacheDirectory = `${pulls.directory}/${Object.keys(config)[0]}`;
      const pulled = await pulls.pull({ authFile: await stored(config), environment, cacheDirectory });
      assert.equal(pulled.layers.length, 3);
    }
  });

  test("never go to another host that the registry redirects to", async () => {
    pulls.registry.login = login;
    const elsewhere = await registryDouble(archives);
    const seen: (string | undefined)[] = [];
    elsewhere.misbehave = (request) => {
      seen.push(request.headers.authorization);
      return false;
    };
    pulls.registry.misbehave = pulls.forFirst((_, response) => {
      response.writeHead(307, { location: `http://${elsewhere.host}/v2/a/b/blobs/${pulls.first()}` }).end();
    });
    const authFile = await stored({ auths: { [pulls.registry.host]: { username: "u", password: "p" } } });
    await pulls.pull({ authFile });
    await elsewhere.stop();
    assert.deepEqual(seen, [undefined]);
  });

  test("that go as a request's body go nowhere else, not even on the same host", async () => {
    const elsewhere = await registryDouble(archives);
    for (const status of [301, 302, 303, 307, 308])
      for (const host of [elsewhere.host, pulls.registry.host]) {
        const server = createServer((_, response) => {
          response.writeHead(status, { location: `http://${host}/token` }).end();
        }).listen(0, "127.0.0.1");
        await once(server, "listening");
        const { port } = server.address() as { port: number };
        pulls.registry.misbehave = (_request, response) => {
          const challenge = `Bearer realm="http://127.0.0.1:${port}/token",service="double"`;
          response.writeHead(401, { "www-authenticate": challenge }).end();
          return true;
        };
        const authFile = await stored({ auths: { [pulls.registry.host]: { identitytoken: "secret" } } });
        const refusal = { code: "registry_protocol", message: /sends a login on/ };
        await assert.rejects(pulls.pull({ authFile }), refusal, `${status} to ${host}`);
        server.close();
      }
    await elsewhere.stop();
    assert.deepEqual([elsewhere.asked, pulls.registry.asked.filter((path) => path === "/token")], [[], []]);
  });
});

/** Sockets by their directory: as deep as a file system allows, and never one that somebody else could have put there. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { Client } from "../../src/client/client.js";
import { connectSocket, openSocketPlace } from "../../src/host/socket-place.js";
import { FakeApi } from "../doubles/fake-api.js";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(realpathSync(tmpdir()), "banger-place-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Listens by the place, as the daemon does, for one answer of "hello". */
async function listening(place: string): Promise<() => Promise<void>> {
  const opened = openSocketPlace(place);
  const server = createServer((socket) => socket.end("hello"));
  await new Promise<void>((resolve) => server.listen(opened.pathOf("api.sock"), resolve));
  return () => new Promise<void>((resolve) => server.close(() => resolve(opened.close())));
}

async function answerAt(path: string): Promise<string> {
  let text = "";
  for await (const chunk of connectSocket(path)) text += chunk;
  return text;
}

test("a socket below a path of a thousand characters is listened on and reached", async () => {
  const deep = join(directory, ...Array.from({ length: 20 }, () => "d".repeat(50)));
  mkdirSync(deep, { recursive: true, mode: 0o700 });
  const close = await listening(deep);
  assert.equal(await answerAt(join(deep, "api.sock")), "hello");
  await close();
  await assert.rejects(answerAt(join(deep, "api.sock")), { code: "ENOENT" });
});

test("a directory that others may write to is refused before anything is said", () => {
  chmodSync(directory, 0o770);
  assert.throws(() => connectSocket(join(directory, "api.sock")), {
    code: "runtime_unsafe",
    hint: `chmod go-w ${directory}`,
  });
});

test("a daemon of another user's gets no request, even through a link of ours", async () => {
  const theirs = join(directory, "theirs");
  mkdirSync(theirs, { mode: 0o755 });
  const api = await FakeApi.listen(join(theirs, "api.sock"));
  symlinkSync("theirs", join(directory, "run"));
  const me = process.getuid?.() ?? 0;
  try {
    api.on("GET /v1/daemon", () => ({ pid: 1 }));
    for (const place of ["theirs", "run"])
      await assert.rejects(new Client(join(directory, place, "api.sock"), me + 1).call("daemon"), {
        code: "runtime_unsafe",
        message: /belongs to the user with id/,
      });
    assert.equal(api.asked.length, 0);
    assert.equal((await new Client(join(theirs, "api.sock"), me).call("daemon")).pid, 1);
  } finally {
    await api.close();
  }
});

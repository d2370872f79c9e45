/** Builds that fail: a real mmdebstrap and a real apt against a mirror of the test's own, and who is to try again. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { toolEnvironment } from "../../src/host/run-tool.js";
import { buildFailure, doomed } from "../../src/images/build-failure.js";
import type { ResolvedRecipe } from "../../src/images/catalog.js";
import { makeRootfs } from "../../src/images/rootfs.js";
import { BangerError } from "../../src/lib/errors.js";

interface Attempt {
  /** What the mirror answers for the one package's file; nothing: that it is not there. */
  answer?: (reply: ServerResponse, deb: Buffer) => void;
  /** By the path that is asked for, ahead of everything else. */
  outage?: (path: string) => boolean;
  packages?: string[];
  suite?: string;
}

/** The mirror's one package, which unpacks to nothing. */
async function makePackage(directory: string): Promise<{ deb: Buffer; control: string }> {
  const control =
    "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: tiny\n";
  mkdirSync(`${directory}/tiny/DEBIAN`, { recursive: true, mode: 0o755 });
  chmodSync(`${directory}/tiny/DEBIAN`, 0o755);
  writeFileSync(`${directory}/tiny/DEBIAN/control`, control, { mode: 0o644 });
  await promisify(execFile)("dpkg-deb", ["-b", `${directory}/tiny`, `${directory}/tiny.deb`]);
  return { deb: readFileSync(`${directory}/tiny.deb`), control };
}

const sha256 = (content: Buffer | string) => createHash("sha256").update(content).digest("hex");

/** Builds a root disk from a mirror of the suite "small"; resolves with how that failed. */
async function failureOf({ answer, outage, packages = ["tiny"], suite = "small" }: Attempt) {
  const directory = mkdtempSync(join(tmpdir(), "banger-build-failure-"));
  chmodSync(directory, 0o777);
  const { deb, control } = await makePackage(directory);
  const lists = "main/binary-amd64/Packages";
  const index = `${control}Filename: pool/tiny.deb\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`;
  const release = `Suite: small
Codename: small
Architectures: amd64 all
Components: main
SHA256:
 ${sha256(index)} ${index.length} ${lists}
`;
  const mirror = createServer((request, reply) => {
    const path = request.url ?? "";
    if (outage?.(path)) return void reply.writeHead(503).end();
    if (path === "/dists/small/Release") return void reply.end(release);
    if (path === `/dists/small/${lists}`) return void reply.end(index);
    if (path === "/pool/tiny.deb" && answer !== undefined) return answer(reply, deb);
    reply.writeHead(404).end();
  });
  await new Promise<void>((resolve) => mirror.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(mirror.address() as AddressInfo).port}`;
  const recipe = { variant: "custom", packages, rootfsMiB: 64 };
  try {
    await makeRootfs({
      resolved: { recipe, suite, customize: "true", writeDisk: "true" } as unknown as ResolvedRecipe,
      sources: {
        list: `deb [trusted=yes] ${url} ${suite} main\n`,
        transport: ['Acquire::Retries "0";', 'Acquire::http::Proxy "DIRECT";'],
      },
      output: `${directory}/rootfs.ext4`,
      scratch: directory,
      environment: toolEnvironment(process.env["PATH"] ?? ""),
      mode: process.getuid?.() === 0 ? "root" : "unshare",
      stage: () => undefined,
    });
  } catch (error) {
    assert.ok(error instanceof BangerError, String(error));
    return error;
  } finally {
    mirror.close();
    mirror.closeAllConnections();
    rmSync(directory, { recursive: true, force: true });
  }
  return assert.fail("the build went well");
}

test("a package that the mirror does not have ends a build for good, with apt's own line", async () => {
  const error = await failureOf({ packages: ["tiny", "nosuch"] });
  assert.deepEqual([error.code, error.retry], ["image_build_failed", "never"]);
  assert.match(error.message, /: E: Unable to locate package nosuch$/);
});

test("a package's file that the mirror's lists name and it does not have, too", async () => {
  const error = await failureOf({});
  assert.deepEqual([error.code, error.retry], ["mirror_refused", "never"]);
  assert.match(error.message, /E: Failed to fetch \S+\/pool\/tiny\.deb {2}404 /);
});

test("so does a release that the mirror does not have", async () => {
  const error = await failureOf({ suite: "nosuch" });
  assert.deepEqual([error.code, error.retry], ["mirror_refused", "never"]);
  assert.match(error.message, /E: Failed to fetch \S+\/dists\/nosuch\/\S+ {2}404 /);
});

test("what cannot run in the new tree ends it with the words of whoever tried", async () => {
  const error = await failureOf({ answer: (reply, deb) => reply.end(deb) });
  assert.deepEqual([error.code, error.retry], ["image_build_failed", "never"]);
  assert.match(error.message, /: chroot: failed to run command .dpkg.: No such file or directory$/);
});

test("a mirror that is overloaded, breaks off or is just being renewed is asked again", async () => {
  const later = async (attempt: Attempt, why: RegExp) => {
    const error = await failureOf(attempt);
    assert.deepEqual([error.code, error.retry], ["mirror_unreachable", "later"], error.message);
    assert.match(error.message, why);
  };
  await later({ outage: () => true }, /E: Failed to fetch \S+ {2}503 /);
  await later({ outage: (path) => path.endsWith(".deb") }, /E: Failed to fetch \S+tiny\.deb {2}503 /);
  await later({ answer: (reply) => reply.socket?.destroy() }, /E: Failed to fetch \S+tiny\.deb /);
  await later({ answer: (reply) => reply.end("short") }, /unexpected size/);
});

test("each way to fail has its name, and the first failure its own lines", () => {
  const named = (...lines: string[]) => buildFailure(lines, "/x", undefined);
  for (const [code, ...lines] of [
    ["disk_full", "mke2fs: Could not allocate block in ext2 filesystem while populating"],
    ["disk_full", "tar: ./usr: Cannot write: No space left on device", "E: tar failed"],
    ["mirror_untrusted", "W: GPG error: http://x NO_PUBKEY 1234", "E: The repository is not signed."],
    ["mirror_unreachable", "Err:1 http://x", "  Temporary failure resolving 'x'", "E: apt-get update failed"],
    ["tool_missing", "setpriv: failed to execute mmdebstrap: No such file or directory"],
    ["image_build_failed", "E: something new"],
    // What apt made up for by itself is not why the build failed.
    [
      "image_build_failed",
      "Ign:1 http://x",
      "  503  Busy",
      "Get:1 http://x",
      "E: Unable to locate package y",
    ],
  ])
    assert.equal(named(...lines).code, code, lines.join("\n"));
  const failed = [
    "chroot: failed to run command 'dpkg': Exec format error",
    "E: setup failed: E: env … failed",
  ];
  const error = named("I: installing essential packages...", ...failed, "E: mmdebstrap failed to run");
  assert.deepEqual([error.code, error.retry], ["image_build_failed", "never"]);
  assert.match(error.message, /: chroot: failed to run command 'dpkg': Exec format error$/);
});

test("a tool of the builder that failed by itself is not run again, and one that was killed is", () => {
  const failed = (signal: string | null) =>
    new BangerError("tool_failed", "xz failed", { retry: "later", cause: { signal } });
  assert.deepEqual([doomed(failed(null)).retry, doomed(failed("SIGKILL")).retry], ["never", "later"]);
});

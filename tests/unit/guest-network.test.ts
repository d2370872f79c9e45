/** What a new guest is given of the network around its host. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { GuestConfig } from "../../src/config/guest.js";
import { packSeed } from "../../src/effects/seed/archive.js";
import { guestCertificates, guestProxies, networkFiles } from "../../src/effects/seed/guest-network.js";

const none: GuestConfig = { trustHostCa: false, caCertificates: [], proxy: null, noProxy: null };
let root: string;
const subjects = (all: string[]) => all.map((pem) => new X509Certificate(pem).subject);

/** A certificate with its key in one file, as servers have them. */
function make(name: string): string {
  const [key, certificate] = [join(root, `${name}.key`), join(root, `${name}.pem`)];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const argv = ["req", "-x509", ...kind, "-subj", `/CN=${name}`, "-keyout", key, "-out", certificate];
  execFileSync("openssl", argv, { stdio: "ignore" });
  return readFileSync(key, "utf8") + readFileSync(certificate, "utf8");
}

before(() => {
  root = mkdtempSync(join(tmpdir(), "banger-network-"));
  const [one, two, three] = ["one", "two", "three"].map(make);
  mkdirSync(join(root, "anchors/corp"), { recursive: true });
  writeFileSync(join(root, "anchors/bundle.crt"), `# ours\n${one}${two?.replaceAll("\n", "\r\n")}`);
  const der = execFileSync("openssl", ["x509", "-in", join(root, "three.pem"), "-outform", "DER"]);
  writeFileSync(join(root, "anchors/corp/three.crt"), der);
  writeFileSync(join(root, "anchors/README"), "nothing of that kind\n");
  writeFileSync(join(root, "mine.pem"), `${three}${one}`);
  writeFileSync(join(root, "key.pem"), readFileSync(join(root, "one.key")));
});
after(() => rmSync(root, { recursive: true }));

describe("the authorities of a new guest", () => {
  const read = (config: Partial<GuestConfig>) =>
    guestCertificates({ ...none, ...config }, root, [join(root, "anchors"), join(root, "absent")]);

  test("are none unless the configuration says so", async () => assert.deepEqual(await read({}), []));

  test("are what was added to the host, PEM or DER, each once, and never a key", async () => {
    const found = await read({ trustHostCa: true, caCertificates: ["~/mine.pem"] });
    assert.deepEqual(subjects(found), ["CN=one", "CN=two", "CN=three"]);
    assert.doesNotMatch(found.join(""), /PRIVATE|\r|#/);
    assert.deepEqual(subjects(await read({ caCertificates: ["~/mine.pem"] })), ["CN=three", "CN=one"]);
  });

  test("are refused by the file's name where the configuration names one without any", async () => {
    for (const file of ["~/key.pem", "~/absent.pem", "~/anchors"])
      await assert.rejects(read({ caCertificates: [file] }), (error: { code?: string; message?: string }) => {
        assert.equal(error.code, "ca_certificates_failed");
        assert.ok(error.message?.includes(join(root, file.slice(2))));
        assert.doesNotMatch(error.message ?? "", /PRIVATE/);
        return true;
      });
  });
});

describe("the seed's part of it", () => {
  const contentOf = (files: ReturnType<typeof networkFiles>, path: string) =>
    files.filter((file) => file.path === path && file.content).map(({ content }) => String(content));

  test("is nothing without authorities and proxy", () =>
    assert.deepEqual(networkFiles([], guestProxies(none)), []));

  test("tells commands, logins, services and apt of the proxy, in the form of each", () => {
    const proxy = "http://ann:p%40@proxy.corp:3128";
    const files = networkFiles([], guestProxies({ ...none, proxy, noProxy: ".corp" }));
    const near = "localhost,127.0.0.1,::1,.vm,.corp";
    const lines = ["http_proxy", "https_proxy", "no_proxy"].flatMap((name) =>
      [name, name.toUpperCase()].map((each) => `${each}=${name === "no_proxy" ? near : proxy}\n`),
    );
    assert.deepEqual(contentOf(files, "etc/banger/environment"), [lines.join("")]);
    assert.deepEqual(contentOf(files, "etc/environment"), [lines.join("")]);
    assert.match(
      contentOf(files, "etc/systemd/system.conf.d/90-banger.conf").join(),
      /^\[Manager\]\nDefaultEnvironment="http_proxy=http:\/\/ann:p%%40@proxy\.corp:3128"\n/,
    );
    assert.match(
      contentOf(files, "etc/apt/apt.conf.d/90banger-proxy").join(),
      /^Acquire::http::Proxy "http:.*";\n/,
    );
    assert.equal(
      files.some(({ path }) => path.includes("cert")),
      false,
    );
  });

  test("has the authorities in every family's place, and marks for the agent what is only for some", () => {
    const files = networkFiles(["PEM\n"], {});
    assert.equal(
      files.some(({ path }) => path.includes("apt")),
      false,
    );
    assert.match(contentOf(files, "etc/banger/environment").join(), /^SSL_CERT_FILE=\/etc\/ssl\/certs\//);
    const listed = execFileSync("tar", ["-tv"], { input: packSeed(files, 0), encoding: "utf8" });
    const modes = listed
      .split("\n")
      .map((row) => row.split(/\s+/))
      .map(([mode, , , , , path]) => `${mode} ${path}`);
    for (const row of [
      "-rw-r--r-- usr/local/share/ca-certificates/banger-host.crt",
      "-rwSr--r-- etc/pki/ca-trust/source/anchors/banger-host.crt",
      "-rw-r--r-T etc/ssl/certs/ca-certificates.crt",
      "-rw-r-Sr-- etc/ssl/certs/ca-certificates.crt",
      "lrwsrwxrwt etc/pki/tls/certs/ca-certificates.crt",
    ])
      assert.ok(modes.includes(row), `${row}\n${listed}`);
  });
});

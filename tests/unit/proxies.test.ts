/** Proxies as curl and Go's programs choose them, and pulls that reach a registry through nothing else. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer as createPlainServer } from "node:net";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { createServer, type Server } from "node:tls";
import { asEnvironment, ProxyBook, proxiesOf, proxyFor } from "../../src/host/proxies.js";
import { type ProxyDouble, proxyDouble } from "../images/proxy-double.js";
import { Pulls } from "../images/pulls.js";

test("settings come in either spelling, the lower one first, and all_proxy stands in", () => {
  assert.deepEqual(proxiesOf({}), {});
  assert.deepEqual(proxiesOf({ HTTP_PROXY: "a", http_proxy: "b", NO_PROXY: "n", https_proxy: "" }), {
    http_proxy: "b",
    no_proxy: "n",
  });
  assert.deepEqual(proxiesOf({ ALL_PROXY: "all", HTTPS_PROXY: "s" }), {
    http_proxy: "all",
    https_proxy: "s",
  });
  assert.deepEqual(asEnvironment({ no_proxy: "x" }), { no_proxy: "x", NO_PROXY: "x" });
});

describe("the proxy for a request", () => {
  const proxies = { http_proxy: "http://plain:1", https_proxy: "secure:2" };
  const of = (url: string, no_proxy?: string) =>
    proxyFor(new URL(url), { ...proxies, ...(no_proxy !== undefined && { no_proxy }) })?.host;

  test("is that of its scheme, and none for this machine itself", () => {
    assert.equal(of("http://reg.corp/v2/"), "plain:1");
    assert.equal(of("https://reg.corp/v2/"), "secure:2");
    assert.equal(proxyFor(new URL("https://reg.corp/"), { http_proxy: "http://plain:1" }), undefined);
    for (const own of ["localhost", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000"])
      assert.equal(of(`http://${own}/v2/`), undefined, own);
    assert.equal(of("http://128.0.0.1/"), "plain:1");
  });

  const exempt: [string, string[], string[]][] = [
    ["*", ["reg.corp", "10.1.2.3"], []],
    ["corp", ["corp", "reg.corp", "a.reg.corp"], ["xcorp", "corp.example"]],
    [".corp", ["reg.corp", "corp"], ["xcorp"]],
    ["*.corp", ["reg.corp"], ["xcorp"]],
    [" a , reg.corp\tb", ["reg.corp", "a", "b"], ["c"]],
    ["REG.Corp", ["reg.corp", "REG.corp"], ["corp"]],
    ["reg.corp:5000", ["reg.corp:5000", "a.reg.corp:5000"], ["reg.corp", "reg.corp:5001"]],
    ["reg.corp:80", ["reg.corp"], ["reg.corp:8080"]],
    ["10.0.0.0/8", ["10.1.2.3", "10.255.0.1:5000"], ["11.1.2.3", "10.corp"]],
    ["10.1.2.0/23", ["10.1.3.9"], ["10.1.4.1"]],
    ["0.0.0.0/0", ["8.8.8.8"], ["[2001:db8::1]"]],
    ["10.1.2.3", ["10.1.2.3", "10.1.2.3:99"], ["110.1.2.3", "10.1.2.30"]],
    ["10.1.2.3:99", ["10.1.2.3:99"], ["10.1.2.3"]],
    ["2001:db8::/32", ["[2001:db8:1::5]", "[2001:db8::]:5000"], ["[2001:db9::1]", "10.1.2.3"]],
    ["[2001:db8::1]", ["[2001:db8:0:0::1]"], ["[2001:db8::2]"]],
    ["2001:db8::1", ["[2001:db8::1]"], ["[2001:db8::2]"]],
    ["10.0.0.0/99,/8,:,.,10.0.0.0/", [], ["10.1.2.3", "reg.corp"]],
  ];
  for (const [rules, without, through] of exempt)
    test(`is none for what no_proxy=${JSON.stringify(rules)} exempts`, () => {
      for (const host of without) assert.equal(of(`http://${host}/`, rules), undefined, host);
      for (const host of through) assert.equal(of(`http://${host}/`, rules), "plain:1", host);
    });

  test("is refused by its variable's name where it is none, without what may be a password", () => {
    for (const setting of ["socks5://u:secret@h:1", "http://", "://x", "http://u:secret@:1"])
      assert.throws(
        () => proxyFor(new URL("https://reg.corp/"), { https_proxy: setting }),
        (error: { code?: string; message?: string }) =>
          error.code === "proxy_invalid" &&
          /https_proxy/.test(error.message ?? "") &&
          !/secret/.test(error.message ?? ""),
        setting,
      );
  });

  test("is the asking shell's, and the usual one where it has none or nobody asked", () => {
    const book = new ProxyBook({ http_proxy: "usual" });
    book.note("mine", { http_proxy: "shell" });
    book.note("bare", { no_proxy: "x" });
    book.note("mine", undefined);
    assert.deepEqual(
      ["mine", "bare", "other"].map((id) => book.of(id).http_proxy),
      ["shell", "usual", "usual"],
    );
  });
});

describe("a pull of a registry that only a proxy reaches", () => {
  const pulls = new Pulls();
  let proxy: ProxyDouble;
  const servers: Server[] = [];
  let keys: string;
  let tls: { key: Buffer; cert: Buffer };

  before(() => {
    keys = mkdtempSync("/tmp/banger-keys-");
    const names = "subjectAltName=DNS:reg.invalid,DNS:localhost,IP:127.0.0.1";
    const out = ["-keyout", `${keys}/key`, "-out", `${keys}/cert`, "-days", "2", "-addext", names];
    const kind = [
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-subj",
      "/CN=double",
    ];
    execFileSync("openssl", ["req", "-x509", ...kind, ...out], { stdio: "ignore" });
    tls = { key: readFileSync(`${keys}/key`), cert: readFileSync(`${keys}/cert`) };
  });
  after(() => rmSync(keys, { recursive: true }));

  const start = async (own?: typeof tls) => {
    const plain = Number(pulls.registry.host.split(":")[1]);
    const secure = createServer(tls, (socket) => {
      socket.on("error", () => undefined);
      const to = connect(plain, "127.0.0.1");
      to.on("error", () => socket.destroy());
      socket.pipe(to).pipe(socket);
    }).listen(0, "127.0.0.1");
    servers.push(secure);
    await once(secure, "listening");
    return proxyDouble({ plain, secure: (secure.address() as { port: number }).port }, own);
  };
  beforeEach(async () => {
    proxy = await start();
  });
  afterEach(async () => {
    await proxy.stop();
    for (const server of servers.splice(0)) server.close();
  });

  const pull = (settings: object, more: object = {}) =>
    pulls.pull({ proxies: settings, ...more }, undefined, "reg.invalid:5000");
  const insecure = { registries: [{ host: "reg.invalid:5000", insecure: true }] };

  test("has the proxy ask in its place, with the proxy's login and without showing it to the registry", async () => {
    proxy.login = "u:p@ss";
    const seen: unknown[] = [];
    pulls.registry.misbehave = ({ headers }) => {
      seen.push(headers["proxy-authorization"]);
      return false;
    };
    const pulled = await pull({ http_proxy: `http://u:p%40ss@127.0.0.1:${proxy.port}` }, insecure);
    assert.equal(pulled.layers.length, 3);
    assert.equal(proxy.asked[0], "GET http://reg.invalid:5000/v2/a/b/manifests/1");
    assert.deepEqual(new Set(seen), new Set([undefined]));
  });

  test("has TLS through the proxy's tunnel, with the certificates of whoever the host trusts", async () => {
    const settings = { https_proxy: `127.0.0.1:${proxy.port}` };
    const certificates = tls.cert.toString();
    const pulled = await pull(settings, { certificates });
    assert.equal(pulled.layers.length, 3);
    assert.deepEqual(new Set(proxy.asked), new Set(["CONNECT reg.invalid:5000"]));
    const refused = { code: "registry_unreachable", message: /certificate/ };
    const other = { cacheDirectory: `${pulls.directory}/other` };
    await assert.rejects(pull(settings, other), refused);
    const wrongName = pulls.pull(
      { proxies: settings, certificates, ...other },
      undefined,
      "reg2.invalid:5000",
    );
    await assert.rejects(wrongName, { code: "registry_unreachable", message: /altnames|alt names/ });
  });

  test("reaches a proxy that itself speaks TLS", async () => {
    const own = await start(tls);
    const address = `https://localhost:${own.port}`;
    const certificates = tls.cert.toString();
    await pull({ http_proxy: address }, { ...insecure, certificates });
    await pull({ https_proxy: address }, { certificates, cacheDirectory: `${pulls.directory}/other` });
    assert.ok(own.asked.some((line) => line.startsWith("CONNECT")));
    await own.stop();
  });

  test("says that the proxy wants a login, and which proxy does not answer", async () => {
    proxy.login = "u:p";
    const at = `http://x:secret@127.0.0.1:${proxy.port}`;
    for (const [settings, more] of [
      [{ http_proxy: at }, insecure],
      [{ https_proxy: at }, {}],
    ] as const)
      await assert.rejects(pull(settings, more), {
        code: "registry_unreachable",
        message: `reg.invalid:5000 does not answer through the proxy 127.0.0.1:${proxy.port}: it wants a login (407)`,
      });
    const nobody = { http_proxy: "http://127.0.0.1:1" };
    const message = /through the proxy 127\.0\.0\.1:1: .*ECONNREFUSED/;
    await assert.rejects(pull(nobody, insecure), { code: "registry_unreachable", message });
  });

  test("is given up at once when nobody wants it any more, also while the proxy is silent", async () => {
    const gone = new AbortController();
    const silent = createPlainServer(() => gone.abort(new Error("gone"))).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as { port: number };
    await assert.rejects(pull({ https_proxy: `127.0.0.1:${port}` }, { signal: gone.signal }), /gone/);
    silent.close();
  });
});

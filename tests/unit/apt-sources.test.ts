/** Package sources follow the host's apt: its mirrors, its keys, its proxies, and only its Debian. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  packageSources,
  parseIndexTargets,
  parseSuite,
  parseTransport,
  sourceOptions,
} from "../../src/images/apt-sources.js";

const row = (...fields: string[]) => fields.join("\t");
const targets = [
  row("Packages", "bookworm", "main", "http://mirror.test/debian/", "stable", "/nowhere/a.sources:1"),
  row("Packages", "bookworm", "main", "http://mirror.test/debian/", "stable", "/nowhere/a.sources:1"),
  row("DEP-11", "bookworm", "main", "http://mirror.test/debian/", "stable", "/nowhere/a.sources:1"),
  row("Packages", "bookworm", "contrib", "http://mirror.test/debian/", "stable", "/nowhere/a.sources:1"),
  row(
    "Packages",
    "bookworm-security",
    "main",
    "http://sec.test/",
    "bookworm-security",
    "/nowhere/a.sources:2",
  ),
  row("Packages", "nodistro", "main", "https://node.test/", "nodistro", "/nowhere/node.list:1"),
  "",
].join("\n");

test("only main of the host's own release and its updates is taken, each once", () => {
  assert.deepEqual(
    parseIndexTargets(targets, "bookworm").map(({ uri, release }) => `${uri} ${release}`),
    ["http://mirror.test/debian/ stable", "http://sec.test/ bookworm-security"],
  );
});

test("a source keeps its key and its trust, in both forms of source file", () => {
  const stanzas = `Types: deb
URIs: http://mirror.test/debian
Suites: bookworm
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://sec.test
Suites: bookworm-security
Trusted: yes
`;
  assert.deepEqual(sourceOptions(stanzas, "http://mirror.test/debian/"), [
    'signed-by="/usr/share/keyrings/debian.gpg"',
  ]);
  assert.deepEqual(sourceOptions(stanzas, "http://sec.test/"), ["trusted=yes"]);
  assert.deepEqual(sourceOptions(stanzas, "http://other.test/"), []);
  const lines = `deb http://a.test/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/b.gpg] http://b.test/debian bookworm main
`;
  assert.deepEqual(sourceOptions(lines, "http://a.test/debian/"), []);
  assert.deepEqual(sourceOptions(lines, "http://b.test/debian/"), ['signed-by="/etc/apt/keyrings/b.gpg"']);
});

test("proxies and certificates are handed on, other settings are not", () => {
  const dump = `APT::Architecture "amd64";
Acquire::http::Proxy "http://proxy.test:3128";
Acquire::https::CaInfo "/etc/ssl/own.pem";
Acquire::http::User-Agent-Non-Interactive "true";
Acquire::https::Proxy "";
DPkg::Post-Invoke:: "true";
`;
  assert.deepEqual(parseTransport(dump), [
    'Acquire::http::Proxy "http://proxy.test:3128";',
    'Acquire::https::CaInfo "/etc/ssl/own.pem";',
  ]);
});

test("the release is Debian's own, or unknown", () => {
  assert.equal(parseSuite('ID=debian\nVERSION_CODENAME="trixie"\n'), "trixie");
  assert.equal(parseSuite("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n"), undefined);
  assert.equal(parseSuite("ID=debian\n"), undefined);
});

test("a configured mirror replaces the host's; a host without the release needs one", async () => {
  const { signal } = new AbortController();
  const runTool = async ({ tool }: { tool: string }) => (tool === "apt-get" ? targets : "");
  const { list } = await packageSources("bookworm", null, runTool, signal);
  assert.equal(
    list,
    "deb http://mirror.test/debian/ stable main\ndeb http://sec.test/ bookworm-security main\n",
  );
  const other = await packageSources("sid", "http://own.test/debian", runTool, signal);
  assert.match(other.list, /^deb (\[signed-by="[^"]+"\] )?http:\/\/own\.test\/debian sid main\n$/);
  await assert.rejects(packageSources("sid", null, runTool, signal), { code: "mirror_unknown" });
  await assert.rejects(
    packageSources("bookworm", null, async () => "", signal),
    { code: "mirror_unknown", hint: /apt-get update/ },
  );
});

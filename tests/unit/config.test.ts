/** The configuration: what is refused and where, the defaults of VMs, and docs/config.md. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { configKeys, loadConfig, parseConfig } from "../../src/config/config.js";
import { resolveDefaults } from "../../src/config/defaults.js";
import { BangerError } from "../../src/lib/errors.js";

const refusal = (text: string): string => {
  try {
    parseConfig(text, "c.toml");
  } catch (thrown) {
    assert.ok(thrown instanceof BangerError && thrown.code === "config_invalid", String(thrown));
    return thrown.message;
  }
  throw new assert.AssertionError({ message: `accepted: ${text}` });
};

test("a missing file means the defaults, an unreadable one is an error", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "banger-config-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "config.toml");
  assert.deepEqual(loadConfig(path), parseConfig("", path));
  assert.throws(() => loadConfig(directory), { code: "config_unreadable" });
  writeFileSync(path, 'stop_timeout = "1m"\n[vm_defaults]\nmemory = "4G"\nvcpu = 2\n');
  const config = loadConfig(path);
  assert.equal(config.stopTimeoutMs, 60_000);
  assert.deepEqual(config.vmDefaults, { vcpu: 2, memoryMiB: 4096, diskMiB: null, rootMiB: null });
});

test("the default image is a name, an id, or a reference as image pull takes it", () => {
  for (const name of [
    "debian-slim",
    "dev-0123abcd",
    "debian:12",
    "ghcr.io/acme/dev:latest",
    "localhost:5000/dev",
  ])
    assert.equal(parseConfig(`default_image = "${name}"`, "c.toml").defaultImage, name);
});

test("unknown keys are refused with their line and the keys that there are", () => {
  assert.match(
    refusal('vmm = "qemu"\n\nlog_levl = "info"\n'),
    /^c\.toml:3: "log_levl" is not a key; .*log_level/,
  );
  assert.match(refusal("[vm_defaults]\n# cores\ncpus = 2\n"), /^c\.toml:3: "vm_defaults\.cpus" is not a key/);
  assert.match(refusal("[vm_default]\nvcpu = 2\n"), /^c\.toml:1: "vm_default" is not a key/);
  assert.match(refusal("toString = 1"), /"toString" is not a key/);
});

test("wrong types and bad values are refused with key, line and what is allowed", () => {
  const cases: [string, RegExp][] = [
    ['vmm = "xen"', /^c\.toml:1: vmm must be "auto" or "qemu" or "firecracker", not "xen"$/],
    ["\nlog_level = 3", /^c\.toml:2: log_level must be "trace"/],
    ['qemu_bin = "./qemu"', /qemu_bin must be the name of a program/],
    ['default_image = "Debian Slim"', /default_image must be the name or id of an image, or a reference/],
    ['default_image = "ghcr.io/acme/dev@latest"', /default_image must be the name/],
    ['mirror = "ftp://x"', /mirror must be/],
    ["boot_timeout = 30", /boot_timeout must be a duration from "1s" to "1h", not 30/],
    ['dns_listen = "0.0.0.0:53"', /dns_listen must be a loopback address/],
    ['dns_listen = "127.0.0.1:65536"', /dns_listen must be a loopback address/],
    ['ssh_key_path = "~other/key"', /ssh_key_path must be an absolute path/],
    ['ssh_key_path = "/a/../b"', /ssh_key_path must be an absolute path/],
    ['auto_stop_stale_after = "10s"', /auto_stop_stale_after must be a duration from "1m"/],
    ['file_sync = "~/.npmrc"', /^c\.toml:1: file_sync must be a table with `host`/],
    ['stop_timeout = "0s"', /stop_timeout must be a duration/],
    ["vm_defaults = 3", /^c\.toml:1: vm_defaults must be a table/],
    [
      "vm_defaults = { vcpu = 1.5 }",
      /^c\.toml:1: vm_defaults\.vcpu must be a whole number from 1 to 64, not 1\.5/,
    ],
    [
      'a = 1\n[vm_defaults]\nvcpu = 0\nmemory = "4X"',
      /c\.toml:1: .*; c\.toml:3: .*; c\.toml:4: vm_defaults\.memory/,
    ],
    ['[vm_defaults]\nroot_size = "1M"', /root_size must be a size from 64M to 16T/],
    ['[vm_defaults]\ndisk_size = "1M"', /disk_size must be a size from 64M to 16T/],
    ["x = [\n", /^c\.toml:\d: Invalid TOML/],
  ];
  for (const [text, message] of cases) assert.match(refusal(text), message);
});

test("system mode's network is one that guests can live in, with the bridge inside it", () => {
  assert.deepEqual(parseConfig("", "c").network, {
    bridge: "br-fc",
    address: "172.16.0.1",
    prefixLength: 24,
    dns: "1.1.1.1",
    tapPoolSize: 4,
  });
  const own = 'bridge_name = "br-fc-two"\ncidr = "10.9.0.0/16"\n';
  assert.deepEqual(parseConfig(`${own}bridge_ip = "10.9.255.254"\ntap_pool_size = 0`, "c").network, {
    ...{ bridge: "br-fc-two", address: "10.9.255.254", prefixLength: 16, dns: "1.1.1.1", tapPoolSize: 0 },
  });
  assert.equal(parseConfig(own, "c").network.address, "10.9.0.1");
  const bad: [string, RegExp][] = [
    ['bridge_name = "eth0"', /^c\.toml:1: bridge_name must be "br-fc", or "br-fc-"/],
    ['bridge_name = "br-fc-"', /bridge_name must be/],
    ['bridge_name = "br-fc-abcdefghij"', /at most 15 characters/],
    ['bridge_name = "br-fc-a/b"', /bridge_name must be/],
    ['cidr = "10.0.0.0/7"', /cidr must be an IPv4 network from \/8 to \/30/],
    ['cidr = "10.0.0.0/31"', /cidr must be/],
    ['cidr = "10.0.0.1/24"', /cidr must be/],
    ['cidr = "127.4.0.0/16"', /cidr must be/],
    ['cidr = "169.254.169.0/24"', /cidr must be/],
    ['cidr = "240.0.0.0/8"', /cidr must be/],
    ['cidr = "fd00::/64"', /cidr must be/],
    ["cidr = 24", /cidr must be/],
    ['bridge_ip = "172.16.0.01"', /bridge_ip must be an IPv4 address/],
    [
      '\nbridge_ip = "10.0.0.1"',
      /^c\.toml:2: bridge_ip must be .* 172\.16\.0\.1 to 172\.16\.0\.254, not "10/,
    ],
    ['bridge_ip = "172.16.0.0"', /bridge_ip must be an address of a host/],
    ['bridge_ip = "172.16.0.255"', /bridge_ip must be an address of a host/],
    ["tap_pool_size = 65", /tap_pool_size must be a whole number from 0 to 64/],
    ['default_dns = "dns.example"', /default_dns must be an IPv4 address/],
    ['jailer_bin = "./jailer"', /jailer_bin must be the name of a program/],
  ];
  for (const [text, message] of bad) assert.match(refusal(text), message, text);
});

test("file_sync: where files come from and go to, and nothing outside of /root", () => {
  const one = (entry: string) => `[[file_sync]]\n${entry}\n`;
  const good =
    one('host = "~/.npmrc"\nguest = "~/.npmrc"') + one('host="/etc/x/"\nguest="/root/a/b/"\nmode="755"');
  assert.deepEqual(parseConfig(good, "c").fileSync, [
    { host: "~/.npmrc", guest: "root/.npmrc", mode: 0o600 },
    { host: "/etc/x/", guest: "root/a/b", mode: 0o755 },
  ]);
  const bad = [
    'host = ""\nguest = "~/a"',
    'host = "a"\nguest = "~/a"',
    'host = "~bob/a"\nguest = "~/a"',
    'host = "~/../a"\nguest = "~/a"',
    'host = "~/a"\nguest = "/etc/a"',
    'host = "~/a"\nguest = "~/"',
    'host = "~/a"\nguest = "~/b/../../etc"',
    'host = "~/a"\nguest = "~/a"\nmode = "0999"',
    'host = "~/a"\nguest = "~/a"\nmode = 600',
    'host = "~/a"\nguest = "~/a"\nowner = "me"',
    'host = "~/a"',
  ];
  for (const entry of bad) assert.match(refusal(good + one(entry)), /^c\.toml:8: file_sync must be/, entry);
});

test("what guests are given of the network: a proxy that they can reach, and no password in a message", () => {
  const { guest } = parseConfig(
    [
      "[guest]",
      "trust_host_ca = true",
      'ca_certificates = ["~/a.pem"]',
      'proxy = "http://u:p%40@proxy.corp:3128"',
      'no_proxy = ".corp,10.0.0.0/8"',
    ].join("\n"),
    "c",
  );
  assert.deepEqual(guest, {
    trustHostCa: true,
    caCertificates: ["~/a.pem"],
    proxy: "http://u:p%40@proxy.corp:3128",
    noProxy: ".corp,10.0.0.0/8",
  });
  assert.equal(parseConfig("", "c").guest.proxy, null);
  const loopback = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "localhost",
    "a.localhost.",
    "[::1]",
    "0.0.0.0",
    "[::ffff:127.0.0.1]",
  ];
  const bad = [
    ...loopback.map((host) => `guest.proxy = "http://u:secret@${host}:3128"`),
    ...["socks5://u:secret@h:1", "http://u:secret@h:1 x", "http://u:secret'@h", "http://"].map(
      (url) => `guest.proxy = "${url}"`,
    ),
    'proxy = "socks5://u:secret@h:1"',
  ];
  for (const text of bad) {
    assert.match(refusal(text), /proxy must be an http or https URL/, text);
    assert.doesNotMatch(refusal(text), /secret/);
  }
  assert.match(refusal('guest.ca_certificates = ["a.pem"]'), /a list of files/);
  assert.match(refusal('guest.no_proxy = "a b"'), /guest.no_proxy must be/);
  assert.match(refusal("guest = true"), /write \[guest\]/);
});

test("VM defaults come from the config, else from the host, else are built in", () => {
  const host = (cpus: number, memoryMiB: number, text = "") =>
    resolveDefaults(parseConfig(text, "c"), { cpus, memoryMiB });
  assert.deepEqual(host(8, 32_768), {
    vcpu: { value: 2, source: "host" },
    memoryMiB: { value: 4096, source: "host" },
    diskMiB: { value: 8192, source: "built-in" },
    rootMiB: { value: null, source: "built-in" },
  });
  const { rootMiB } = host(8, 32_768, '[vm_defaults]\nroot_size = "10G"');
  assert.deepEqual(rootMiB, { value: 10_240, source: "config" });
  assert.deepEqual(host(128, 1_000_000).vcpu, { value: 4, source: "host" });
  assert.deepEqual(host(128, 1_000_000).memoryMiB, { value: 8192, source: "host" });
  assert.deepEqual(host(2, 2048).vcpu, { value: 1, source: "built-in" });
  assert.deepEqual(host(2, 2048).memoryMiB, { value: 512, source: "built-in" });
  assert.deepEqual(host(2, 2048, "[vm_defaults]\nvcpu = 7").vcpu, { value: 7, source: "config" });
});

test("docs/config.md has the very table of the keys", () => {
  const text = readFileSync(new URL("../../../docs/config.md", import.meta.url), "utf8");
  const documented = text.split("\n").filter((line) => line.startsWith("| `"));
  const keys = Object.entries(configKeys).map(([name, key]) => {
    const standard = "default" in key ? `\`${JSON.stringify(key.default)}\`` : "–";
    return `| \`${name}\` | ${key.allowed} | ${standard} | ${key.about} |`;
  });
  assert.deepEqual(documented, keys);
});

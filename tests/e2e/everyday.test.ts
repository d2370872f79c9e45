/** Everyday use of real VMs: names, ports, the user's files, plain ssh, a VM that gets more of everything. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import type { PortView, VmStats } from "../../src/contract/contract.js";
import type { DaemonView } from "../../src/contract/daemon.js";
import { until, withHome } from "./harness.js";

const run = promisify(execFile);
const size = ["--vcpu", "1", "--memory", "512M", "--disk-size", "1G"];

/** A web server in the words that every image has: Perl comes with git. */
const webServer = `
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 3000, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
  while (<$client>) { last if /^\\r?\\n$/ }
  print $client "HTTP/1.0 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nhi\\n";
  close $client;
}`;

test("a web server in a guest is found by name and shown as a URL", () =>
  withHome(async (home) => {
    await home.ok("vm", "run", "-d", "--name", "box", ...size);
    const { address } = await home.vm("box");
    const { dns } = await home.json<DaemonView>("daemon", "status");
    const resolver = new Resolver();
    resolver.setServers([dns ?? ""]);
    assert.deepEqual(await resolver.resolve4("box.vm"), [address]);
    assert.deepEqual(await resolver.reverse(address), ["box.vm"]);
    const start = "cat >/tmp/web.pl; (setsid perl /tmp/web.pl </dev/null >/dev/null 2>&1 &)";
    assert.equal(
      (await home.run(["vm", "exec", "box", "--", "sh", "-c", start], { input: webServer })).status,
      0,
    );
    let web: PortView | undefined;
    await until("the web server has a URL", async () => {
      const ports = await home.json<PortView[]>("vm", "ports", "box");
      web = ports.find(({ port }) => port === 3000);
      return web?.url != null;
    });
    assert.equal(web?.url, `http://${address}:3000/`);
    assert.equal(await (await fetch(`http://${web?.endpoint}/`)).text(), "hi\n");
    assert.match(await home.ok("vm", "ports", "box"), new RegExp(`tcp +http://${address}:3000/ +perl`));
    await home.ok("vm", "delete", "box");
    await assert.rejects(resolver.resolve4("box.vm"), { code: "ENOTFOUND" });
  }));

const proxy = "http://ann:p%40ss@proxy.invalid:3128";
const near = "localhost,127.0.0.1,::1,.vm";

/** Makes `ca.pem` of a server that vouches for itself; returns its key. */
async function certificate(directory: string): Promise<string> {
  const name = ["-subj", "/CN=Test", "-addext", "subjectAltName=DNS:localhost"];
  const out = ["-keyout", join(directory, "key.pem"), "-out", join(directory, "ca.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await run("openssl", ["req", "-x509", ...kind, "-days", "2", ...name, ...out]);
  return readFileSync(join(directory, "key.pem"), "utf8");
}

/** curl believes the server with the guest's bundle alone and with the environment; the bundle has it once. */
const tlsScript = `set -e; cd "$(mktemp -d)"; cat >both.pem
openssl s_server -quiet -accept 4433 -www -cert both.pem -key both.pem >/dev/null 2>&1 & server=$!
ask() {
  "$@" curl -sS --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null -w '%{http_code}' https://localhost:4433/
}
echo "$(ask env -u SSL_CERT_FILE -u CURL_CA_BUNDLE) $(ask env)"
kill $server
grep -cF "$(sed -n '/BEGIN CERT/{n;p;q}' both.pem)" "$SSL_CERT_FILE"`;

test("the user's files and name are in a new guest, and stay as the guest then has them; ssh knows the VM", () =>
  withHome(
    async (home) => {
      const tree = join(home.root, "tree");
      mkdirSync(tree);
      writeFileSync(join(tree, "tool"), "#!/bin/sh\necho first\n", { mode: 0o755 });
      writeFileSync(
        join(home.root, ".gitconfig"),
        "[user]\n\tname = Ann O'Neil\n\temail = ann@example.org\n",
      );
      mkdirSync(home.home.config, { recursive: true });
      const key = await certificate(home.root);
      const sync = (host: string, guest: string) => `[[file_sync]]\nhost = "${host}"\nguest = "${guest}"\n`;
      writeFileSync(
        join(home.home.config, "config.toml"),
        `[guest]\nca_certificates = ["~/ca.pem"]\nproxy = "${proxy}"\n` +
          sync("~/tree", "~/bin") +
          sync("~/none", "~/none"),
      );
      const { stderr } = await home.run(["vm", "run", "-d", "--name", "box", ...size]);
      assert.match(stderr, /note: The host has no ~\/none/);
      const inGuest = (script: string) => home.ok("vm", "exec", "box", "--", "sh", "-c", script);
      assert.equal(await inGuest("~/bin/tool; git config --global user.name"), "first\nAnn O'Neil\n");
      const served = { input: key + readFileSync(join(home.root, "ca.pem"), "utf8") };
      const secure = await home.run(["vm", "exec", "box", "--", "sh", "-c", tlsScript], served);
      assert.deepEqual([secure.status, secure.stdout], [0, "200 200\n1\n"], secure.stderr);
      assert.equal(await inGuest('echo "$http_proxy $HTTPS_PROXY $no_proxy"'), `${proxy} ${proxy} ${near}\n`);
      await inGuest("echo 'echo second' >~/bin/tool; git config --global user.name Bob; sync");
      await home.ok("vm", "restart", "box");
      assert.equal(await inGuest("~/bin/tool; git config --global user.name"), "second\nBob\n");
      assert.equal(await inGuest("grep -c ^http_proxy= /etc/environment"), "1\n", "added once");
      await home.ok("ssh-config", "--install");
      const config = join(home.root, ".ssh/config");
      const { stdout } = await run("ssh", ["-F", config, "box.vm", "hostname"], { env: home.env });
      assert.equal(stdout, "box\n");
      const login = await run("ssh", ["-F", config, "box.vm", "env"], { env: home.env });
      assert.match(login.stdout, new RegExp(`^http_proxy=${proxy}$`, "m"));
      await home.ok("ssh-config", "--uninstall");
      assert.throws(() => readFileSync(config), { code: "ENOENT" });
    },
    (root) => ({ HOME: root }),
  ));

const dfScript = "df -m --output=size /root; cat /root/kept";

test("the disks of a VM that runs grow under it, and keep what is on them", () =>
  withHome(async (home) => {
    await home.ok("vm", "run", "-d", "--name", "box", ...size, "--root-size", "6G");
    const inGuest = (script: string) => home.ok("vm", "exec", "box", "--", "sh", "-c", script);
    const rootMiB = async () => Number((await inGuest("df -m --output=size /")).split(/\s+/)[1]);
    assert.ok((await rootMiB()) > 5700, "as large as asked for from the first boot on");
    await inGuest("echo root >/opt/kept");
    assert.equal((await home.run(["vm", "set", "box", "--root-size", "7G"])).status, 0);
    assert.ok((await rootMiB()) > 6700, "it grew while the VM ran");
    assert.match((await home.run(["vm", "set", "box", "--root-size", "6G"])).stderr, /disks only grow/);
    await inGuest("echo keep >/root/kept; cat /proc/sys/kernel/random/boot_id >/root/boot");
    const { status, stderr } = await home.run(["vm", "set", "box", "--disk-size", "3G"]);
    assert.deepEqual([status, stderr.includes("restart")], [0, false], stderr);
    const [, mebibytes, kept] = (await inGuest(dfScript)).trim().split(/\s+/);
    assert.ok(Number(mebibytes) > 2900, mebibytes);
    assert.equal(kept, "keep");
    await inGuest("cmp /root/boot /proc/sys/kernel/random/boot_id");
    await inGuest("mv $(command -v resize2fs || echo /usr/sbin/resize2fs) /root/");
    const second = await home.run(["vm", "set", "box", "--disk-size", "4G"]);
    assert.match(second.stderr, /banger vm restart box/);
    assert.equal((await home.run(["vm", "set", "box", "--root-size", "8G"])).status, 0);
    await home.ok("vm", "restart", "box");
    assert.ok(Number((await inGuest(dfScript)).trim().split(/\s+/)[1]) > 3900);
    assert.ok((await rootMiB()) > 7700, "without resize2fs it grew at the next boot");
    assert.equal(await inGuest("cat /opt/kept"), "root\n");
    const { rootMiB: shown } = await home.json<VmStats>("vm", "stats", "box");
    assert.equal(shown, 8192);
  }));

test("a VM that gets a larger disk has it after its next start, with what was on it, even after a kill", () =>
  withHome(async (home) => {
    await home.ok("vm", "run", "-d", "--name", "box", ...size);
    await home.ok("vm", "exec", "box", "--", "sh", "-c", "echo keep >/root/kept; sync");
    const { status, stderr } = await home.run(["vm", "set", "box", "--disk-size", "3G", "--memory", "768M"]);
    assert.equal(status, 0);
    assert.match(stderr, /banger vm restart box/);
    await home.ok("vm", "kill", "box");
    await home.ok("vm", "start", "box");
    const guest = await home.ok("vm", "exec", "box", "--", "sh", "-c", dfScript);
    const [, mebibytes, kept] = guest.trim().split(/\s+/);
    assert.ok(Number(mebibytes) > 2900, guest);
    assert.equal(kept, "keep");
    const stats = await home.json<VmStats & { cpu: number }>("vm", "stats", "box");
    assert.ok(
      stats.rssBytes !== null && stats.rssBytes > 2 ** 20 && stats.rootBytes + stats.diskBytes > 2 ** 20,
    );
    assert.deepEqual([stats.phase, stats.memoryMiB, stats.diskMiB], ["running", 768, 3072]);
    const refused = await home.run(["vm", "set", "box", "--disk-size", "2G"]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /disks only grow/);
  }));

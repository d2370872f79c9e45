/** One guest whose host is a network namespace, with a resolver and servers of the test's own. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import dnsPacket from "dns-packet";
import type { PortView } from "../../src/contract/contract.js";
import { sh } from "../helper/host.js";
import { TestHome, until } from "./harness.js";

const lan = "10.99.0.1";
const metadata = "169.254.169.254";
const port = 8080;
const resolver = "127.0.0.53";
const home = new TestHome();
const asked: string[] = [];
const servers = [lan, metadata, "127.0.0.1", "::1", resolver].map((address) => ({
  address,
  server: createServer((_request, reply) => {
    asked.push(address);
    reply.end("here\n");
  }),
}));
const dns = createSocket("udp4");

/** Each name is at the address of the LAN. */
function answer(bytes: Buffer, from: { port: number; address: string }): void {
  const { id, questions = [] } = dnsPacket.decode(bytes);
  const answers = questions.flatMap(({ name, type }) =>
    type === "A" ? [{ name, type, ttl: 1, data: lan } as const] : [],
  );
  dns.send(dnsPacket.encode({ type: "response", id: id ?? 0, questions, answers }), from.port, from.address);
}

before(async () => {
  sh(`ip addr add ${lan}/32 dev lo; ip addr add ${metadata}/32 dev lo`);
  writeFileSync("/run/resolv.conf", `nameserver ${resolver}\n`);
  sh("mount --bind /run/resolv.conf /etc/resolv.conf");
  for (const { address, server } of servers) {
    server.listen(port, address);
    await once(server, "listening");
  }
  dns.on("message", answer).bind(53, resolver);
  await once(dns, "listening");
  await home.ok("vm", "run", "-d", "--name", "box", "--memory", "512M", "--vcpu", "1", "--disk-size", "1G");
});

after(async () => {
  await home.dispose();
  dns.close();
  for (const { server } of servers) server.close();
});

const inGuest = (script: string) =>
  home.run(["vm", "exec", "box", "--", "timeout", "20", "bash", "-c", script]);
/** What the guest gets of a server by TCP, or the complaint of its shell. */
async function reach(address: string, number = port): Promise<string> {
  const script = `exec 3<>/dev/tcp/${address}/${number} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3`;
  const { stdout, stderr } = await inGuest(script);
  return stdout + stderr;
}

test("under public the host is refused by each of its addresses, and by names that lead there", async () => {
  asked.length = 0;
  for (const address of ["10.0.2.2", "10.0.2.3", "127.0.0.1", lan, metadata])
    assert.match(await reach(address), /refused|unreachable|No route/, address);
  assert.notEqual((await inGuest("getent ahostsv4 server.test")).status, 0, "its address is the host's");
  assert.deepEqual(asked, []);
});

test("a policy changes while the guest runs: a port of the loopback, the LAN, and nothing again", async () => {
  await home.ok("vm", "set", "box", "--allow", `host:${port}`);
  await until("the port is open", async () => (await reach("10.0.2.2")) === "here\n");
  assert.match(await reach(lan), /refused/);
  await home.ok("vm", "set", "box", "--net", "all", "--allow", "");
  await until("the LAN is open", async () => (await reach(lan)) === "here\n");
  assert.equal(await reach("server.test"), "here\n");
  assert.match(await reach("10.0.2.2"), /refused/);
  await home.ok("vm", "set", "box", "--nat", "off");
  await until("all is closed", async () => /refused/.test(await reach(lan)));
  await home.ok("vm", "set", "box", "--nat", "on");
});

test("a network process that is killed is back under the guest, with its policy and its forwards", async () => {
  const { id } = await home.vm("box");
  const pidOf = () => sh(`pgrep -f '[b]anger-net --guest banger-${id}' || true`).trim();
  const before = pidOf();
  process.kill(Number(before), "SIGKILL");
  await until("another one runs", () => pidOf() !== "" && pidOf() !== before);
  await until("sshd answers", async () => (await home.run(["vm", "ssh", "box", "--", "true"])).status === 0);
  assert.match(await reach(lan), /refused/);
  assert.match(await home.ok("vm", "why", "box"), /network was lost[\s\S]*network was restored/);
});

test("forwards lead into the guest as before", async () => {
  const serve = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 3000, Listen => 5) or die;";
  const loop = `while (my $c = $s->accept) { print $c "of the guest\\n"; close $c }`;
  await inGuest(`setsid perl -e '${serve} ${loop}' >/dev/null 2>&1 </dev/null &`);
  const forwarded = async () =>
    (await home.json<PortView[]>("vm", "ports", "box")).some(
      ({ port: of, endpoint }) => of === 3000 && endpoint !== null,
    );
  await until("the port is forwarded", forwarded);
  const { address } = await home.vm("box");
  await until(
    "it answers",
    () => sh(`curl -s --http0.9 http://${address}:3000/ || true`) === "of the guest\n",
  );
});

test("its disk grows while it runs, and the next daemon finds it", async () => {
  await home.ok("vm", "set", "box", "--disk-size", "3G");
  await until("the file system has grown", async () => {
    const { stdout } = await inGuest("df --output=size -BM /root | tail -n 1");
    return Number.parseInt(stdout, 10) > 2500;
  });
  await home.killDaemon();
  assert.equal((await inGuest("uname")).stdout, "Linux\n");
});

test("QEMU has no privileges and no network, three files of its caller's and few of its own", async () => {
  const { pid } = await home.vm("box");
  assert.match(readFileSync(`/proc/${pid}/net/dev`, "utf8"), /^ *lo:(?![\s\S]*\n *\w+:)/m);
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^CapEff:\t0000000000000400$/m);
  assert.match(readFileSync(`/proc/${pid}/limits`, "utf8"), /^Max open files +4096 +4096 /m);
  assert.equal(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"), "500\n");
});

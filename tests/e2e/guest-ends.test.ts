/** One VM whose guest has a server of its own, reboots, and panics: each is seen, told, and dealt with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PortView } from "../../src/contract/contract.js";
import { until, withHome } from "./harness.js";

/** Keeps to the guest's own loopback, and says whom it saw. */
const webServer = `
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 3002, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
  while (<$client>) { last if /^\\r?\\n$/ }
  print $client "HTTP/1.0 200 OK\\r\\n\\r\\n" . $client->peerhost;
  close $client;
}`;

test("a server on the guest's loopback answers, a reboot comes back, a panic is told as one", () =>
  withHome(async (home) => {
    await home.ok("vm", "run", "-d", "--name", "box", "--vcpu", "1", "--memory", "512M");
    const { address } = await home.vm("box");
    const start = "cat >/tmp/web.pl; (setsid perl /tmp/web.pl </dev/null >/dev/null 2>&1 &)";
    await home.run(["vm", "exec", "box", "--", "sh", "-c", start], { input: webServer });
    const server = async () => {
      const ports = await home.json<PortView[]>("vm", "ports", "box");
      return ports.find(({ port }) => port === 3002);
    };
    await until("the server has a URL", async () => (await server())?.url != null);
    assert.equal((await server())?.url, `http://${address}:3002/`);
    assert.equal(await (await fetch(`http://${address}:3002/`)).text(), "127.0.0.1");
    const before = await home.daemonPid();
    await home.killDaemon();
    await until("a new daemon forwards the port again", async () => (await server())?.endpoint != null);
    assert.notEqual(await home.daemonPid(), before);
    assert.equal(await (await fetch(`http://${address}:3002/`)).text(), "127.0.0.1");

    await until(
      "the guest's init takes commands",
      async () =>
        (await home.run(["vm", "exec", "box", "--", "systemctl", "is-active", "multi-user.target"]))
          .status === 0,
    );
    const upAgain = (since: string) =>
      until("the guest is up again", async () => {
        const { phase, lastExit } = await home.vm("box");
        return phase === "running" && lastExit?.reason === "reboot" && lastExit.at > since;
      });
    await home.ok("vm", "exec", "box", "--", "reboot");
    await upAgain("");
    const { lastExit } = await home.vm("box");
    // At once, so that nobody ends the session before the guest does.
    const cut = await home.run(["vm", "exec", "box", "--", "reboot", "-ff"]);
    assert.equal(cut.status, 125);
    assert.match(cut.stderr, /^banger: the guest rebooted while the session ran$/m);
    await upAgain(lastExit?.at ?? "");
    assert.match(await home.ok("vm", "why", "box"), /It had been starting since .*: its guest rebooted\./);

    const panic = "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger";
    const died = await home.run(["vm", "exec", "box", "--", "sh", "-c", panic]);
    assert.match(died.stderr, /^banger: the guest's kernel panicked: sysrq triggered crash while/m);
    await until("the VM has stopped", async () => (await home.vm("box")).phase === "stopped");
    assert.match(await home.ok("vm", "list"), /stopped .* the guest's kernel panicked/);
    const events = await home.events("box");
    assert.equal(events.at(-1)?.type, "vm.process_exited", "nothing starts it again");
  }));

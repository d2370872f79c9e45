/** A look at a VM whose guest does not answer, from outside: what banger knows of it, and what QEMU does. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { vmHandles } from "../../src/home/handles.js";
import type { TestHome } from "../e2e/harness.js";

/** Ticks of processor time (a hundredth of a second each) that a process has used. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

/**
 * Writes down what is to be seen. A QEMU that hardly runs waits for something that does not come: then its processor is
 * read too, for which the daemon has to let go of the control socket. It is killed for that; the next one takes over.
 */
export async function lookAt(home: TestHome, name: string, out: string): Promise<void> {
  mkdirSync(out, { recursive: true });
  const { id, pid } = await home.vm(name);
  for (const [file, words] of [
    ["show", ["vm", "show", name, "--json"]],
    ["why", ["vm", "why", name]],
    ["console", ["vm", "logs", name]],
    ["events", ["events", name]],
  ] as const) {
    const { stdout, stderr } = await home.run(words);
    writeFileSync(`${out}/${file}`, stdout + stderr);
  }
  if (pid === null || pid === undefined) return;
  const before = ticksOf(pid);
  await pause(10_000);
  const ticks = ticksOf(pid) - before;
  writeFileSync(`${out}/ticks`, `${ticks} of 1000 in ten seconds\n${readFileSync("/proc/loadavg", "utf8")}`);
  if (ticks > 50) return;
  await home.killDaemon();
  writeFileSync(`${out}/processor`, await monitor(vmHandles(home.home, id).qmpSocket));
}

async function monitor(socket: string): Promise<string> {
  const connection = connect(socket).setTimeout(10_000, () => connection.destroy());
  const commands = ["info status", "info registers -a", "info lapic", "info pic", "info chardev"];
  const said: string[] = [];
  connection.write(`${JSON.stringify({ execute: "qmp_capabilities" })}\n`);
  for (const command of commands) {
    const words = { execute: "human-monitor-command", arguments: { "command-line": command } };
    connection.write(`${JSON.stringify(words)}\n`);
  }
  // Whoever reads lines does not hear that the connection was destroyed.
  const lines = createInterface(connection);
  connection.once("close", () => lines.close());
  for await (const line of lines) {
    const { return: text } = JSON.parse(line) as { return?: unknown };
    if (typeof text === "string" && said.push(text) === commands.length) break;
  }
  connection.destroy();
  return said.join("\n----\n");
}

/** The DNS server on one core against a bare UDP echo on that core. */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";
import { encode } from "dns-packet";
import { type Figure, median, pairs, ratio } from "./measure.js";

const queries = 20_000;
/** Enough that the server never waits for the client, and few enough that no socket buffer overflows. */
const inFlight = 64;
const leastPerSecond = 5_000;
const server = new URL("./names-child.js", import.meta.url).pathname;

interface Echo {
  child: ChildProcess;
  port: number;
}

async function serve(what: "dns" | "echo"): Promise<Echo> {
  const argv = ["-c", "0", process.execPath, server, what];
  const child = spawn("taskset", argv, { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface(child.stdout)) return { child, port: Number(line) };
  throw new Error(`the ${what} server ended before it served`);
}

/** Sends queries and waits for every reply. */
function flood({ port }: Echo): Promise<void> {
  const message = encode({ type: "query", id: 1, questions: [{ type: "A", name: "vm-500.vm" }] });
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    let sent = 0;
    let got = 0;
    const send = () => {
      sent += 1;
      socket.send(message, port, "127.0.0.1");
    };
    socket.on("error", reject);
    socket.on("message", () => {
      got += 1;
      if (sent < queries) send();
      if (got === queries) socket.close(() => resolve());
    });
    socket.bind(0, "127.0.0.1", () => {
      for (let n = 0; n < inFlight; n++) send();
    });
  });
}

/** (n) Queries a second, and their ratio to what an echo manages. */
export async function names(): Promise<Figure[]> {
  const servers = [await serve("dns"), await serve("echo")] as const;
  try {
    const samples = await pairs(7, { run: () => flood(servers[0]) }, { run: () => flood(servers[1]) });
    const perSecond = queries / (median(samples.measured) / 1000);
    const value = 1 / ratio(samples);
    return [
      {
        name: "n",
        about: "DNS queries/s / bare UDP echoes/s, on one core",
        value,
        unit: "×",
        bound: "≥ 0.3",
        holds: value >= 0.3,
        samples: { ...samples },
      },
      {
        name: "n",
        about: "the same, DNS queries",
        value: perSecond,
        unit: "/s",
        bound: `≥ ${leastPerSecond}`,
        holds: perSecond >= leastPerSecond,
        samples: {},
      },
    ];
  } finally {
    for (const { child } of servers) child.kill("SIGKILL");
  }
}

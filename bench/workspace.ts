/** A repository into a running VM, with its history and state, against `tar | ssh tar` of its files alone. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sshArguments } from "../src/cli/vm/ssh.js";
import { Client } from "../src/client/client.js";
import { homeHandles } from "../src/home/handles.js";
import { program, type TestHome } from "../tests/e2e/harness.js";
import { type Figure, median, pairs, ratio, type Timed } from "./measure.js";

const rounds = 5;
const files = 5_000;
const bytesEach = 10_000;
const size = ["--vcpu", "1", "--memory", "512M"];

/** (w) `vm workspace prepare` of 5,000 files and 50 MB. */
export async function workspace(home: TestHome): Promise<Figure[]> {
  const repo = join(home.root, "repo");
  makeRepository(repo, home.env);
  await home.ok("vm", "run", "-d", "--name", "box", ...size);
  const prepare = ["vm", "workspace", "prepare", "box", repo];
  const measured: Timed = {
    run: () => void execFileSync(program, prepare, { env: home.env, stdio: "ignore" }),
    clean: () => inGuest(home, "rm -rf /root/repo"),
  };
  const floor = await tarOverSsh(home, repo);
  const samples = await pairs(rounds, measured, floor);
  await home.ok("vm", "delete", "box");
  const value = ratio(samples);
  const seconds = median(samples.measured) / 1000;
  const about = "`vm workspace prepare`, 50 MB in 5,000 files / tar | ssh tar of the files";
  return [
    { name: "w", about, value, unit: "×", bound: "≤ 1.0", holds: value <= 1, samples: { ...samples } },
    { name: "w", about: "the same, wall", value: seconds, unit: "s", bound: "–", holds: true, samples: {} },
  ];
}

const inGuest = async (home: TestHome, script: string): Promise<void> => {
  await home.ok("vm", "exec", "box", "--", "sh", "-c", script);
};

/** Text that compresses about as source code does, committed and packed as a repository is that has lived a while. */
function makeRepository(repo: string, env: NodeJS.ProcessEnv): void {
  let state = 1;
  const next = () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state;
  };
  const words = Array.from({ length: 2000 }, () => next().toString(36));
  for (let n = 0; n < files; n++) {
    const directory = join(repo, `part-${n % 50}`);
    if (n < 50) mkdirSync(directory, { recursive: true });
    let text = "";
    while (text.length < bytesEach) text += `${words[next() % words.length]}${next() % 7 === 0 ? "\n" : " "}`;
    writeFileSync(join(directory, `file-${n}.txt`), text.slice(0, bytesEach));
  }
  const git = (...argv: string[]) => execFileSync("git", argv, { cwd: repo, env, stdio: "ignore" });
  git("init", "-q");
  git("add", "-A");
  git("-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-qm", "files");
  git("gc", "-q");
}

/** The files without `.git`, which leaves a guest without history: less than what is measured brings. */
async function tarOverSsh(home: TestHome, repo: string): Promise<Timed> {
  const view = await new Client(homeHandles(home.home).apiSocket).call("vmSsh", { ref: "box" });
  const ssh = sshArguments(view, ["tar", "-xf", "-", "-C", "/root/floor"]);
  const env = { ...home.env, REPO: repo };
  return {
    prepare: () => inGuest(home, "mkdir /root/floor"),
    run: () => {
      const line = 'tar -C "$REPO" --exclude=.git -cf - . | ssh "$@"';
      execFileSync("sh", ["-c", line, "sh", ...ssh], { env, stdio: "ignore" });
    },
    clean: () => inGuest(home, "rm -rf /root/floor"),
  };
}

/** What only a person at a terminal sees, driven through tmux: shell, window size, Ctrl-C, progress, questions. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { program, type TestHome, until, withHome } from "./harness.js";

const run = promisify(execFile);
const small = "--memory 384M --vcpu 1 --disk-size 200M";

/** A shell on a terminal of 100 by 30 in the test's home. */
class Terminal {
  readonly #socket: string;
  readonly #record: string;

  private constructor(private readonly home: TestHome) {
    this.#socket = join(home.root, "tmux");
    this.#record = join(home.root, "record");
  }

  static async open(home: TestHome): Promise<Terminal> {
    const terminal = new Terminal(home);
    const shell = "env -u ENV PS1='host> ' sh";
    await terminal.#tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", shell);
    await terminal.#tmux("pipe-pane", `cat >'${terminal.#record}'`);
    await terminal.shows(/^host>$/m);
    return terminal;
  }

  async #tmux(...args: string[]): Promise<string> {
    const { stdout } = await run("tmux", ["-S", this.#socket, ...args], {
      env: this.home.env,
      cwd: this.home.root,
    });
    return stdout;
  }

  /** Types a line. */
  async line(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", text);
    await this.keys("Enter");
  }

  /** Types a command of banger. */
  banger = (args: string): Promise<void> => this.line(`${program} ${args}`);

  keys = (...names: string[]): Promise<string> => this.#tmux("send-keys", ...names);

  resize = (columns: number, rows: number): Promise<string> =>
    this.#tmux("resize-window", "-x", String(columns), "-y", String(rows));

  /** What can be read on the terminal, with what has scrolled away; lines longer than the window are joined. */
  screen = (): Promise<string> => this.#tmux("capture-pane", "-pJ", "-S", "-");

  /** Everything that was ever written to the terminal, also what was overwritten since. */
  written = (): string => (existsSync(this.#record) ? readFileSync(this.#record, "utf8") : "");

  /** Waits until the screen, without blanks at the ends of lines, matches. */
  async shows(pattern: RegExp): Promise<void> {
    let seen = "";
    try {
      await until(`the terminal shows ${pattern}`, async () => {
        seen = (await this.screen()).replace(/ +$/gm, "").trimEnd();
        return pattern.test(seen);
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${seen}`, { cause: error });
    }
  }

  close = (): Promise<string> => this.#tmux("kill-server").catch(() => "it is closed already");
}

/** Runs a test at a terminal of its own in a home of its own. */
const atTerminal = (body: (terminal: Terminal, home: TestHome) => Promise<void>): (() => Promise<void>) => {
  return () =>
    withHome(async (home) => {
      const terminal = await Terminal.open(home);
      try {
        await body(terminal, home);
      } finally {
        await terminal.close();
      }
    });
};

test(
  "a shell in a new VM follows the window, has Ctrl-C for itself, and its VM is remembered at the end",
  atTerminal(async (terminal, home) => {
    await terminal.banger(`vm run --name box ${small}`);
    await terminal.shows(/root@box:.*#$/);
    for (const stage of ["preparing the disk", "starting the virtual machine", "booting the guest"]) {
      assert.match(terminal.written(), new RegExp(`[⠋-⠿] ${stage}  [\\d.]+ ?m?s`), stage);
    }
    assert.doesNotMatch(await terminal.screen(), /booting the guest/);

    await terminal.line("stty size");
    await terminal.shows(/^30 100$/m);
    await terminal.resize(77, 21);
    await terminal.line("until [ \"$(stty size)\" = '21 77' ]; do :; done; echo fol''lowed");
    await terminal.shows(/^followed$/m);

    await terminal.line("sh -c \"echo rea''dy; exec sleep 1000\"");
    await terminal.shows(/^ready$/m);
    await terminal.keys("C-c");
    await terminal.line("echo st''atus $? on $(hostname)");
    await terminal.shows(/^status 130 on box$/m);

    await terminal.line("exit 7");
    await terminal.shows(
      /^box is still running; stop it with: banger vm stop box; delete it with: banger vm delete box\nhost>$/m,
    );
    await terminal.line("echo st''atus $?; stty -a | grep -c -e ' -opost' -e ' -icanon'");
    await terminal.shows(/^status 7\n0\nhost>$/m);
    assert.equal((await home.vm("box")).phase, "running");
  }),
);

test(
  "vm prune asks: no and Ctrl-C keep what there is, yes deletes it",
  atTerminal(async (terminal, home) => {
    await home.ok("vm", "create", "--no-start", "--name", "spare", ...small.split(" "));
    const names = async () => (await home.json<{ name: string }[]>("vm", "list")).map(({ name }) => name);
    const answers = [
      { keys: ["n", "Enter"], end: /nothing was deleted\nstatus 1$/m, left: ["spare"] },
      { keys: ["Enter"], end: /nothing was deleted\nstatus 1$/m, left: ["spare"] },
      { keys: ["C-c"], end: /^status 130$/m, left: ["spare"] },
      { keys: ["y", "Enter"], end: /spare.*\nstatus 0$/m, left: [] },
    ];
    for (const { keys, end, left } of answers) {
      await terminal.line("clear");
      await terminal.line(`${program} vm prune; echo st''atus $?`);
      await terminal.shows(/^spare .*stopped[^]*Delete this VM and its disks\?/m);
      await terminal.keys(...keys);
      await terminal.shows(end);
      assert.deepEqual(await names(), left);
    }
    await until("nothing is left of it", () => home.leftovers().length === 0);
  }),
);

test(
  "vm run --rm leaves nothing behind when Ctrl-C, a kill or the end of the terminal comes while the guest boots",
  atTerminal(async (terminal, home) => {
    // QEMU that never lets its guest run: the boot lasts until somebody ends it.
    const qemu = join(home.root, "qemu-held");
    writeFileSync(qemu, '#!/bin/sh\nexec qemu-system-x86_64 -S "$@"\n');
    chmodSync(qemu, 0o755);
    mkdirSync(home.home.config, { recursive: true });
    writeFileSync(join(home.home.config, "config.toml"), `qemu_bin = "${qemu}"\n`);
    await terminal.line(`${program} vm run --rm ${small}; echo st''atus $?`);
    await terminal.shows(/booting the guest/);
    await terminal.keys("C-c");
    await terminal.shows(/^status 130$/m);
    const nothingLeft = async () => {
      await until("nothing is left of it", () => home.leftovers().length === 0);
      await until("no VM is listed", async () => (await home.json<[]>("vm", "list")).length === 0);
    };
    await nothingLeft();
    const boots = async () => {
      await terminal.line(`clear; ${program} vm run --rm ${small}`);
      await terminal.shows(/booting the guest/);
    };
    // Nobody is asked: the process is gone from one moment to the next.
    await boots();
    const { stdout } = await run("pgrep", ["-f", `^[^ ]*node .*start.js vm run --rm ${small}$`]);
    const pids = stdout.trim().split("\n").map(Number);
    const own = pids.filter((pid) =>
      readFileSync(`/proc/${pid}/environ`, "utf8").includes(`XDG_STATE_HOME=${home.root}/state`),
    );
    assert.equal(own.length, 1);
    process.kill(own[0] as number, "SIGKILL");
    await nothingLeft();
    // The window goes, and with it everything that could be said.
    await boots();
    await terminal.close();
    await nothingLeft();
  }),
);

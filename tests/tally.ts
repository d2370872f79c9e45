/** The reporter of `make test`: what Node prints, then how many tests ran, and why the others did not. */
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { Readable } from "node:stream";
import { spec, type TestEvent, tap } from "node:test/reporters";

const succeeds = (program: string, ...argv: string[]): boolean => spawnSync(program, argv).status === 0;
const isRoot = process.getuid?.() === 0;

/** What a test may give as its reason, and whether this machine has it all the same: looked at anew, not as the test did. */
const has: readonly (readonly [reason: RegExp, there: () => boolean])[] = [
  [/\broot\b/, () => isRoot],
  [/\bmusl-gcc\b/, () => succeeds("sh", "-c", "command -v musl-gcc")],
  [/\bloop devices\b/, () => isRoot && existsSync("/sys/class/misc/loop-control")],
  [/\buser namespaces\b/, () => succeeds("unshare", "--user", "--map-root-user", "--mount", "true")],
  [/\bsystemd-analyze\b/, () => succeeds("sh", "-c", "command -v systemd-analyze")],
];

const unsaid = "no reason given";

export class Tally {
  #ran = 0;
  readonly #skipped = new Map<string, number>();

  note({ type, data }: TestEvent): void {
    if (type !== "test:pass" && type !== "test:fail") return;
    const { skip, details } = data;
    // A suite that is left out tells nothing of the tests in it.
    if (skip === undefined || skip === false) this.#ran += details.type === "suite" ? 0 : 1;
    else {
      const reason = typeof skip === "string" && skip !== "" ? skip : unsaid;
      this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
    }
  }

  /** `name` is what the run is called. */
  line(name: string): string {
    const reasons = [...this.#skipped].map(([reason, count]) => `${count} ${reason}`);
    const skipped = [...this.#skipped.values()].reduce((sum, count) => sum + count, 0);
    const left = skipped === 0 ? "none skipped" : `${skipped} skipped: ${reasons.join("; ")}`;
    return `${name}: ${this.#ran} tests ran, ${left}`;
  }

  /** Why the run is no proof, though nothing failed: what was left out could have run here, or there was nothing at all. */
  wrong(): string[] {
    const unfounded = [...this.#skipped.keys()].filter((reason) => {
      const known = has.filter(([pattern]) => pattern.test(reason));
      return reason === unsaid || (known.length > 0 && known.every(([, there]) => there()));
    });
    const none = this.#ran === 0 ? ["no test ran"] : [];
    return [...none, ...unfounded.map((reason) => `skipped, though this machine has it: ${reason}`)];
  }
}

/** Written for the closing lines of `make test`; see the Makefile. */
const build = new URL("../../build/", import.meta.url);

export default async function* report(source: AsyncIterable<TestEvent>): AsyncIterable<string> {
  const tally = new Tally();
  async function* watched(): AsyncGenerator<TestEvent, void> {
    for await (const event of source) {
      tally.note(event);
      yield event;
    }
  }
  if (process.stdout.isTTY) yield* Readable.from(watched()).pipe(new spec()) as AsyncIterable<string>;
  else yield* tap(watched());
  const name = process.env["npm_lifecycle_event"] ?? "tests";
  const wrong = tally.wrong();
  const lines = [tally.line(name), ...wrong.map((each) => `${name}: ${each}`)];
  if (wrong.length > 0) process.exitCode = 1;
  if (existsSync(build))
    writeFileSync(new URL(`ran-${name.replace(":", "-")}.txt`, build), `${lines.join("\n")}\n`);
  yield lines.map((line) => `# ${line}\n`).join("");
}

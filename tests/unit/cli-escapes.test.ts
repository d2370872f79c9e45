/** What a guest writes reaches no terminal as anything but text, and is left as it is wherever no terminal is. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { guestOutput, write } from "../../src/cli/base/output.js";
import { errorText } from "../../src/cli/render/error.js";
import { clean, cleanLines, cleanStyled, jsonText, styleFor } from "../../src/cli/render/style.js";
import { portTable } from "../../src/cli/render/vm.js";
import { BangerError } from "../../src/lib/errors.js";
import { shellQuote } from "../../src/lib/shell.js";
import { program, runDeadlineMs, withHost } from "../doubles/cli-host.js";
import { eventView } from "../doubles/views.js";
import { reached } from "../reached.js";

/** What no terminal shall get: C0 but for the line's own, DEL, C1, bidi, invisible and line-breaking characters. */
const acting =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;
const attacks = [
  "\u001b]52;c;cm0gLXJmIH4=\u0007",
  "\u001b]0;title\u001b\\",
  "\u009d52;c;eA==\u009c",
  "\u009b2J",
  "\u001b[2J\u001b[8mhidden",
  "\u001bc",
  "\u001bP+q\u001b\\",
  "\u202egnp.exe",
  "\u2066\u2028\u2029",
  "\rover",
  "\u001b[\u001b[31m31m",
  "\u001b[",
  "\u{e0041}\ufeff",
];
const hostile = fc
  .array(fc.oneof(fc.constantFrom(...attacks), fc.string({ unit: "binary" }), fc.string()))
  .map((parts) => parts.join(""));
/** Without what `styleFor` may have put there. */
const withoutColours = (text: string): string => text.replace(/\u001b\[(1|2|22|3[1-35]|39)m/g, "");

test("cleaned text has nothing that a terminal acts on, and cleaning it again changes nothing", (t) => {
  const hit = reached(t, { hostile: 250 });
  fc.assert(
    fc.property(hostile, (text) => {
      if (acting.test(text)) hit("hostile");
      assert.doesNotMatch(clean(text), acting);
      assert.doesNotMatch(clean(text), /[\n\t]/);
      assert.doesNotMatch(cleanLines(text), acting);
      assert.doesNotMatch(withoutColours(cleanStyled(text)), acting);
      assert.equal(clean(clean(text)), clean(text));
      assert.equal(cleanLines(cleanLines(text)), cleanLines(text));
    }),
    { numRuns: 500 },
  );
});

test("what people write stays: letters of any script, emoji of several, tabs and lines, banger's own colours", () => {
  const text = "héllo\twörld — 日本 👩‍👩‍👧 می‌خواهم\nnext\n";
  assert.equal(cleanLines(text), text);
  assert.equal(cleanLines("a\r\nb\r\n"), "a\nb\n");
  assert.equal(cleanLines("\u001b[0;32mOK\u001b[0m"), "OK");
  const { red, dim, bold } = styleFor({ isTTY: true }, {});
  const styled = `${red("a")} ${dim("b")} ${bold("c")}\n`;
  assert.equal(cleanStyled(styled), styled);
  assert.equal(cleanStyled("\u001b[8mx\u001b[5m"), "x");
});

test("JSON is the same value without a single character that acts", (t) => {
  const hit = reached(t, { hostile: 15 });
  fc.assert(
    fc.property(fc.oneof(hostile, fc.jsonValue()), (value) => {
      const text = jsonText({ value });
      if (acting.test(JSON.stringify(value)) || acting.test(String(value))) hit("hostile");
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify({ value })));
      assert.doesNotMatch(text, acting);
      assert.doesNotMatch(jsonText({ value }, 2), acting);
    }),
  );
});

test("bytes for a terminal are cleaned however they come in pieces; elsewhere they pass untouched", async (t) => {
  const hit = reached(t, { hostile: 30, pieces: 40 });
  const run = async (isTTY: boolean, raw: boolean, bytes: Buffer, sizes: number[]): Promise<Buffer> => {
    const written: Buffer[] = [];
    const stdout = {
      isTTY,
      write(chunk: string | Uint8Array, done: () => void) {
        written.push(Buffer.from(chunk as string));
        done();
        return true;
      },
    };
    const output = guestOutput(stdout as never, raw);
    for (let at = 0, index = 0; at < bytes.length; index++) {
      const size = sizes[index % sizes.length] ?? 1;
      await write(output, bytes.subarray(at, at + size));
      at += size;
    }
    return Buffer.concat(written);
  };
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 });
  await fc.assert(
    fc.asyncProperty(hostile, sizes, async (text, pieces) => {
      const bytes = Buffer.from(text);
      if (acting.test(text)) hit("hostile");
      if (bytes.length > (pieces[0] ?? 0)) hit("pieces");
      assert.doesNotMatch((await run(true, false, bytes, pieces)).toString(), acting);
      assert.deepEqual(await run(false, false, bytes, pieces), bytes);
      assert.deepEqual(await run(true, true, bytes, pieces), bytes);
    }),
  );
  assert.equal((await run(true, false, Buffer.from("größe 日本\n"), [1])).toString(), "größe 日本\n");
});

test("a table and an error show a guest's words as text", () => {
  const port = {
    proto: "tcp",
    address: "0.0.0.0",
    port: 80,
    pid: 1,
    process: "\u001b]52;c;eA==\u0007\u009b2J",
    command: "\u202egnp.exe\u2028x",
    endpoint: null,
    named: null,
    url: null,
    reason: null,
  };
  const table = portTable([port], false, { style: styleFor({ isTTY: false }, {}) });
  assert.doesNotMatch(table, acting);
  assert.equal(table.split("\n").length, 3);
  const error = new BangerError("guest_failed", "\u009b2J\u202e", { hint: "\u001b]0;x\u0007" });
  assert.doesNotMatch(errorText(error, styleFor({ isTTY: false }, {})), acting);
});

/** What the program writes to a real terminal, which script(1) makes. */
function onTerminal(env: NodeJS.ProcessEnv, argv: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const line = [program, ...argv].map(shellQuote).join(" ");
    const child = spawn("script", ["-qec", line, "/dev/null"], {
      env: { ...env, TERM: "xterm", SHELL: "/bin/sh" },
      timeout: runDeadlineMs,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
    child.on("close", () => resolve(text));
  });
}

test("vm logs and events: clean on a terminal, as it is in a pipe and with --raw", () =>
  withHost(async ({ api, env, banger }) => {
    const said = `boot \u001b]52;c;eA==\u0007\u009b2J\u202etxt\u001b[31mred\n`;
    api.on("GET /v1/vms/box/logs", (_asked, response) => void response.end(said));
    assert.equal((await banger(["vm", "logs", "box"])).stdout, said);
    assert.equal(await onTerminal(env, ["vm", "logs", "box"]), "boot ?2J?txtred\r\n");
    assert.equal(await onTerminal(env, ["vm", "logs", "box", "--raw"]), said.replace("\n", "\r\n"));
    const event = { ...eventView(1, "vm.ready"), sentence: said, data: { text: said } };
    api.on("GET /v1/events", (_asked, response) => void response.end(`${JSON.stringify(event)}\n`));
    assert.doesNotMatch(withoutColours(await onTerminal(env, ["events"])).replaceAll("\r\n", "\n"), acting);
    const json = (await banger(["events", "--json"])).stdout;
    assert.doesNotMatch(json, acting);
    assert.equal(JSON.parse(json).data.text, said);
  }));

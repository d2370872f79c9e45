/** `-o FILE`: whole files appear at once; pipes, devices, links and descriptors stay what they are. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { test } from "node:test";
import { writeToFile } from "../../src/cli/base/output-file.js";
import { Sink } from "./agent-process.js";

const standard = { stdout: new Sink(), stderr: new Sink() } as unknown as Parameters<typeof writeToFile>[1];
const text = "a patch\n";
const writeText = async (output: Writable) => void output.write(text);
const write = (file: string) => writeToFile(file, standard, writeText);

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = fs.mkdtempSync(join(tmpdir(), "banger-output-"));
  try {
    await use(directory);
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

test("a file is there when it is whole, keeps its mode, and is left as it was by a failure", () =>
  withDirectory(async (directory) => {
    const file = join(directory, "file");
    fs.writeFileSync(file, "old");
    fs.chmodSync(file, 0o660);
    const failing = writeToFile(file, standard, async (output) => {
      output.write("half");
      throw new Error("broke off");
    });
    await assert.rejects(failing, /broke off/);
    assert.equal(fs.readFileSync(file, "utf8"), "old");
    assert.deepEqual(fs.readdirSync(directory), ["file"]);
    assert.equal(await write(file), text.length);
    assert.equal(fs.readFileSync(file, "utf8"), text);
    assert.equal(fs.statSync(file).mode & 0o777, 0o660);
    assert.deepEqual(fs.readdirSync(directory), ["file"]);
  }));

test("what another put where the unfinished file might be is not written to", () =>
  withDirectory(async (directory) => {
    const [file, victim] = [join(directory, "file"), join(directory, "victim")];
    fs.writeFileSync(victim, "mine");
    fs.symlinkSync(victim, `${file}.partial`);
    await write(file);
    assert.equal(fs.readFileSync(victim, "utf8"), "mine");
    assert.ok(fs.lstatSync(file).isFile());
  }));

test("a link stays one, and its end is written, also where there is nothing yet", () =>
  withDirectory(async (directory) => {
    const at = (name: string) => join(directory, name);
    fs.mkdirSync(at("sub"));
    fs.symlinkSync("sub/second", at("first"));
    fs.symlinkSync("file", at("sub/second"));
    for (const round of ["new", "there"]) {
      await write(at("first"));
      assert.ok(fs.lstatSync(at("first")).isSymbolicLink(), round);
      assert.ok(fs.lstatSync(at("sub/second")).isSymbolicLink(), round);
      assert.equal(fs.readFileSync(at("sub/file"), "utf8"), text, round);
    }
    fs.symlinkSync("circle", at("circle"));
    await assert.rejects(write(at("circle")), { code: "not_written" });
  }));

test("pipes and devices are written to", () =>
  withDirectory(async (directory) => {
    const pipe = join(directory, "pipe");
    execFileSync("mkfifo", [pipe]);
    const read = fs.promises.readFile(pipe, "utf8");
    await write(pipe);
    assert.equal(await read, text);
    assert.ok(fs.statSync(pipe).isFIFO());
    fs.symlinkSync("/dev/full", join(directory, "full"));
    await assert.rejects(write(join(directory, "full")), {
      code: "not_written",
      message: /no space is left/,
    });
    assert.ok(fs.statSync("/dev/full").isCharacterDevice());
  }));

test("a descriptor is written to where it stands, as process substitution and /dev/stdout want it", () =>
  withDirectory(async (directory) => {
    const file = join(directory, "file");
    fs.writeFileSync(file, "first\n");
    const descriptor = fs.openSync(file, "a");
    fs.symlinkSync(`/proc/self/fd/${descriptor}`, join(directory, "link"));
    for (const name of [`/dev/fd/${descriptor}`, join(directory, "link")]) await write(name);
    fs.writeSync(descriptor, "still open\n");
    fs.closeSync(descriptor);
    assert.equal(fs.readFileSync(file, "utf8"), `first\n${text}${text}still open\n`);
    const stdout = Object.assign(new PassThrough(), { bytesWritten: 0 });
    const streams = { ...standard, stdout: stdout as unknown as NodeJS.WriteStream };
    await writeToFile("/dev/stdout", streams, writeText);
    assert.equal(stdout.read()?.toString(), text);
  }));

test("where nothing can be written, a sentence says why", () =>
  withDirectory(async (directory) => {
    fs.writeFileSync(join(directory, "file"), "");
    const refused = [
      [directory, "it is a directory"],
      [join(directory, "none/file"), "its directory does not exist"],
      [join(directory, "file/file"), "its directory is not a directory"],
    ] as const;
    for (const [file, why] of refused) {
      await assert.rejects(write(file), {
        code: "not_written",
        message: `${file} cannot be written: ${why}`,
      });
    }
  }));

test("what a writer left that was killed goes with the next one; what is being written stays", () =>
  withDirectory(async (directory) => {
    const file = join(directory, "a.patch");
    const program = `
      import { writeToFile } from ${JSON.stringify(new URL("../../src/cli/base/output-file.js", import.meta.url).href)};
      await writeToFile(${JSON.stringify(file)}, process, (output) => {
        output.write("half", () => console.log("written"));
        return new Promise(() => setInterval(() => {}, 1000));
      });`;
    const writers = await Promise.all(
      [1, 2].map(async () => {
        const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        await once(child.stdout, "data");
        return { child, ended: once(child, "exit") };
      }),
    );
    const [killed, alive] = writers as [(typeof writers)[0], (typeof writers)[0]];
    const partials = () => fs.readdirSync(directory).filter((name) => name.endsWith(".partial"));
    assert.equal(partials().length, 2);
    killed.child.kill("SIGKILL");
    await killed.ended;
    fs.writeFileSync(join(directory, "another.patch.partial"), "of nobody's concern");
    const old = `${file}.00000000-1-1-000000000000.partial`;
    for (const age of [0, 2]) {
      fs.writeFileSync(old, "of another boot");
      const at = Date.now() / 1000 - age * 86_400;
      fs.utimesSync(old, at, at);
      await write(file);
      assert.equal(fs.existsSync(old), age === 0);
    }
    assert.equal(partials().filter((name) => name.includes(`-${alive.child.pid}-`)).length, 1);
    assert.deepEqual(partials().length, 2, "that one, and another's");
    alive.child.kill("SIGKILL");
    await alive.ended;
    await write(file);
    assert.deepEqual(fs.readdirSync(directory), ["a.patch", "another.patch.partial"]);
  }));

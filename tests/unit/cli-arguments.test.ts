/** From argv to a command, or to an error that says what was meant. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { checkArguments } from "../../src/cli/base/check.js";
import { command } from "../../src/cli/base/command.js";
import { dispatch } from "../../src/cli/dispatch.js";
import { isGroup, type Node, root } from "../../src/cli/tree.js";
import { environmentOf } from "../../src/cli/vm/environment.js";
import { specOf } from "../../src/cli/vm/new.js";
import { checkedView, sshArguments } from "../../src/cli/vm/ssh.js";
import { BangerError } from "../../src/lib/errors.js";
import { shellQuote } from "../../src/lib/shell.js";
import { editDistance, suggest } from "../../src/lib/suggest.js";

const sample = command({
  summary: "Sample",
  usage: "REF",
  examples: [],
  words: { min: 1, max: 1, name: "REF" },
  flags: {
    json: { type: "boolean" },
    follow: { type: "boolean", alias: "f" },
    env: { type: "string" },
    "disk-size": { type: "string" },
  },
  run: async () => 0,
});
const check = (...argv: string[]) => checkArguments({ command: sample, path: "sample", argv, dashes: false });
const usage = (message: RegExp, hint?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof BangerError);
  assert.equal(error.code, "usage");
  assert.match(error.message, message);
  if (hint !== undefined) assert.match(error.hint ?? "", hint);
  return true;
};

test("flags and words are told apart, and a flag given again keeps all its values", async () => {
  const { words, all } = await check("-f", "box", "--env", "A=1", "--env=B=2", "--no-json");
  assert.deepEqual(words, ["box"]);
  assert.deepEqual(all, { env: ["A=1", "B=2"] });
});

test("a command line that is not understood whole is refused", async () => {
  await assert.rejects(check("box", "--jsn"), usage(/unknown flag --jsn/, /--json/));
  await assert.rejects(check("box", "-x"), usage(/unknown flag -x/));
  await assert.rejects(check("box", "--diskSize", "4G"), usage(/unknown flag --diskSize/, /--disk-size/));
  await assert.rejects(check("box", "--json=yes"), usage(/takes no value/));
  await assert.rejects(check("box", "--env"), usage(/--env needs a value/));
  await assert.rejects(check("box", "--env", "--json"), usage(/--env needs a value/));
  await assert.rejects(check(), usage(/REF is missing/));
  await assert.rejects(check("box", "other"), usage(/unexpected argument "other"/));
});

test("words lead to commands, through aliases too", async () => {
  assert.equal((await dispatch(["vm", "ls", "--json"])).path, "vm list");
  assert.equal((await dispatch(["vm", "rm", "a", "b"])).path, "vm delete");
  assert.deepEqual((await dispatch(["vm", "rm", "a", "b"])).rest, ["a", "b"]);
  assert.equal((await dispatch(["events", "box"])).path, "events");
  assert.equal((await dispatch(["events", "verify"])).path, "events verify");
  assert.equal((await dispatch(["--version"])).path, "version");
});

test("what follows -- is the guest's, whatever it looks like", async () => {
  const route = await dispatch(["vm", "exec", "box", "--", "ls", "--help", "--", "x"]);
  assert.deepEqual(route.command, ["ls", "--help", "--", "x"]);
  assert.equal(route.help, false);
});

test("help is understood before, after and as a command", async () => {
  for (const argv of [
    ["vm", "run", "--help"],
    ["vm", "-h", "run"],
    ["help", "vm", "run"],
  ]) {
    const { help, path } = await dispatch(argv);
    assert.deepEqual({ help, path }, { help: true, path: "vm run" });
  }
});

test("a mistyped command is answered with the one that was meant", async () => {
  await assert.rejects(dispatch(["vm", "lsit"]), usage(/unknown command "lsit"/, /banger vm list/));
  await assert.rejects(dispatch(["evnets"]), usage(/"evnets"/, /banger events/));
  await assert.rejects(dispatch(["prune"]), usage(/"prune"/, /banger vm prune/));
  await assert.rejects(dispatch(["--json"]), usage(/unknown flag "--json"/, /banger --help/));
});

test("every command loads, and says how it is used", async () => {
  const visit = async (node: Node): Promise<void> => {
    if (isGroup(node)) {
      if (node.itself !== undefined) await visit(node.itself);
      for (const each of Object.values(node.commands)) await visit(each);
      return;
    }
    const loaded = await node.load();
    assert.ok(loaded.examples.length > 0);
    for (const flag of Object.values(loaded.flags)) assert.ok(flag.description);
  };
  await visit(root);
});

test("a guess never leads to what takes something away, nor past it to something else", async () => {
  for (const words of [
    "vm pause",
    "vm delte",
    "vm prun",
    "vm kil",
    "vm r",
    "image delet",
    "kernel rn",
    "system unistall",
  ]) {
    const [group = "", word = ""] = words.split(" ");
    await assert.rejects(
      dispatch([group, word]),
      usage(/unknown command/, new RegExp(`^banger ${group} --help$`)),
    );
  }
  const destroying: string[] = [];
  for (const [name, group] of Object.entries(root.commands)) {
    if (!isGroup(group)) continue;
    for (const [word, node] of Object.entries(group.commands))
      if (/^(delete|rm|kill|prune|uninstall)$/.test(word))
        destroying.push(`${name} ${word}: ${"destroys" in node}`);
  }
  assert.deepEqual(
    destroying.filter((each) => each.endsWith("false")),
    [],
  );
  assert.ok(destroying.length >= 6);
  await assert.rejects(checkArguments({ ...guestLine, argv: ["--forse"] }), usage(/--forse/, /--help$/));
  assert.equal(suggest("f", ["q", "t"]), undefined, "any letter is one edit from any other");
});

const guestLine = {
  command: command({
    summary: "Sample",
    usage: "REF -- CMD…",
    examples: [],
    takesCommand: true,
    words: { min: 1, max: 1, name: "REF" },
    flags: { cwd: { type: "string" }, force: { type: "boolean" } },
    run: async () => 0,
  }),
  path: "vm exec",
  argv: [] as string[],
  dashes: false,
};

test("a guest's command without its -- is shown with it", async () => {
  const told = (argv: string[], hint: RegExp, dashes = false) =>
    assert.rejects(checkArguments({ ...guestLine, argv, dashes }), usage(/goes after --$/, hint));
  await told(["box", "ls", "-la", "/a b"], /^banger vm exec box -- ls -la '\/a b'$/);
  await told(
    ["--cwd", "/x", "box", "sh", "-c", "exit 3"],
    /^banger vm exec --cwd \/x box -- sh -c 'exit 3'$/,
  );
  await told(["box", "make"], /^banger vm exec box -- make$/);
  await told(["box", "-x"], /^banger vm exec box -- -x$/);
  await told(["box", "--cdw", "/x"], /^--cwd, or see/);
  const after = { ...guestLine, dashes: true };
  await assert.rejects(
    checkArguments({ ...after, argv: ["box", "-x"] }),
    usage(/^unknown flag -x$/, /--help/),
  );
  await assert.rejects(checkArguments({ ...after, argv: ["box", "y"] }), usage(/^unexpected argument "y"$/));
  const run = {
    ...guestLine,
    path: "vm run",
    command: { ...guestLine.command, words: { min: 0, max: 1, name: "PATH" } },
  };
  await assert.rejects(
    checkArguments({ ...run, argv: ["ls", "-la"] }),
    usage(/-la?;/, /^banger vm run -- ls -la$/),
  );
  await assert.rejects(
    checkArguments({ ...run, argv: [".", "make", "-j4"] }),
    usage(/;/, /^banger vm run \. -- make -j4$/),
  );
  await assert.rejects(check(""), usage(/^REF is empty$/));
});

test("the edit distance counts a swap of neighbours once", () => {
  assert.equal(editDistance("lsit", "list"), 1);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(suggest("zzzzz", ["list", "show"]), undefined);
});

test("sizes and numbers that make no VM are refused with the flag's name", () => {
  const given = { vcpu: "2", memory: "4GiB", "disk-size": "1024", "root-size": "6G", nat: false };
  const spec = { vcpu: 2, memoryMiB: 4096, diskMiB: 1024, rootMiB: 6144, net: { mode: "none" } };
  assert.deepEqual(specOf(given), spec);
  assert.deepEqual(specOf({ nat: true }), { net: { mode: "public" } });
  for (const flags of [
    { vcpu: "0" },
    { vcpu: "-1" },
    { memory: "0" },
    { memory: "lots" },
    { memory: "127" },
    { vcpu: "65" },
    { "disk-size": "-1G" },
  ]) {
    assert.throws(() => specOf(flags), usage(new RegExp(`--${Object.keys(flags)[0]}`)));
  }
});

test("a size past all limits is told the flag's own", () => {
  assert.throws(() => specOf({ memory: "100T" }), usage(/^--memory: 100T is not from 128M to 1T$/));
});

test("environment words need a name", () => {
  const own = { HERE: "mine", EMPTY: "" };
  const env = (...words: string[]) => environmentOf({ env: words }, own);
  assert.deepEqual(env("A=b=c", "EMPTY=", "HERE", "GONE"), { A: "b=c", EMPTY: "", HERE: "mine" });
  assert.deepEqual(env("HERE=theirs", "EMPTY"), { HERE: "theirs", EMPTY: "" });
  assert.deepEqual(environmentOf({}, own), {});
  for (const word of ["=x", ""]) assert.throws(() => env(word), usage(/is not a variable name/));
});

const sshView = {
  user: "root",
  address: "127.7.0.1",
  port: 2222,
  keyPath: "/k",
  knownHostsPath: "/with space/known_hosts",
  hostKeyAlias: "0a1b2c3d.banger",
};

test("what the daemon says of the way to a guest can be nothing but that", () => {
  assert.deepEqual(checkedView(sshView), sshView);
  const odd = [
    { address: "-oProxyCommand=touch /tmp/x" },
    { user: "-oProxyCommand=x" },
    { port: Number.NaN },
    { keyPath: "relative" },
    { knownHostsPath: "/a\n/b" },
    { hostKeyAlias: "x\nProxyCommand y" },
  ];
  for (const part of odd)
    assert.throws(() => checkedView({ ...sshView, ...part }), { code: "bad_reply" }, JSON.stringify(part));
});

test("ssh is told the pinned key, and the guest's shell sees the words as given", () => {
  const argv = sshArguments(sshView, ["echo", "it's", "$HOME"]);
  assert.deepEqual(
    argv.slice(-3, -1),
    ["--", "root@127.7.0.1"],
    "a second -- would be a word of the command",
  );
  assert.ok(argv.includes("StrictHostKeyChecking=yes"));
  assert.ok(argv.includes('UserKnownHostsFile="/with space/known_hosts"'));
  assert.ok(argv.includes("HostKeyAlias=0a1b2c3d.banger"));
  assert.equal(argv.at(-1), `echo 'it'\\''s' '$HOME'`);
  assert.equal(shellQuote(""), "''");
  const odd = sshArguments({ ...sshView, knownHostsPath: '/a" "/b%h' }, []);
  assert.ok(odd.includes('UserKnownHostsFile="/a\\" \\"/b%%h"'), "one path, whatever is in it");
});

test("ssh gets its own options behind ours, and a shell by name, which Debian does not welcome", () => {
  const argv = sshArguments(sshView, [], {
    values: { L: ["8080:localhost:80"], o: ["A=b"] },
    switches: ["A"],
  });
  const line = argv.join(" ");
  assert.match(
    line,
    /-o LogLevel=ERROR -L 8080:localhost:80 -o A=b -A -t -- root@127\.7\.0\.1 exec "\$\{SHELL/,
  );
  const forwards = sshArguments(sshView, [], { values: { D: ["1080"] }, switches: ["N"] });
  assert.equal(forwards.at(-1), "root@127.7.0.1");
  assert.ok(!forwards.includes("-t"));
});

test("a file of variables is taken line by line as it stands, and what is typed counts more", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "banger-env-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "env");
  const env = (text: string | Buffer, ...words: string[]) => {
    writeFileSync(path, text);
    return environmentOf({ "env-file": [path], env: words }, { HERE: "mine" });
  };
  const text = `\ufeff# words\n\n  A= two words # kept \r\nB="quoted"\nHERE\nGONE\nE=\nX=a=b`;
  assert.deepEqual(env(text, "E=typed"), {
    ...{ A: " two words # kept ", B: '"quoted"', HERE: "mine", E: "typed", X: "a=b" },
  });
  assert.throws(() => env("A=1\nexport B=2"), usage(/"export B" is not a variable name/));
  assert.throws(() => env("=1"), usage(/is not a variable name/));
  assert.throws(() => env(Buffer.of(0x41, 0x3d, 0xe9)), { code: "env_file_unreadable", message: /UTF-8/ });
  const missing = () => environmentOf({ "env-file": [join(directory, "none")] }, {});
  assert.throws(missing, { code: "env_file_unreadable" });
});

/** `--env` and `--env-file`: the environment of a command in a guest, as container tools have these flags. */
import { readFileSync } from "node:fs";
import { BangerError } from "../../lib/errors.js";
import { usageError } from "../base/check.js";
import { refuseOtherBytesOf } from "../base/other-bytes.js";

export const environmentFlags = {
  env: {
    type: "string",
    valueHint: "NAME[=VALUE]",
    description: "Environment variable; without a value, the caller's; repeatable",
  },
  "env-file": {
    type: "string",
    valueHint: "FILE",
    description: "File with NAME=VALUE or NAME lines; repeatable",
  },
} as const;

type Given = Readonly<Record<string, readonly string[] | undefined>>;
type Own = Readonly<Record<string, string | undefined>>;
type Pair = readonly [name: string, value: string];

/**
 * What all flags of a command line come to; files first, so that what was typed counts.
 * @throws BangerError `usage`, `env_file_unreadable`, `argument_not_utf8`
 */
export function environmentOf(given: Given, own: Own): Record<string, string> {
  const pairs = [
    ...(given["env-file"] ?? []).flatMap((path) => pairsIn(path, own)),
    ...(given["env"] ?? []).flatMap((word) => {
      if (word === "" || word.startsWith("="))
        throw usageError(`--env: "${word}" is not a variable name`, "--env NAME=VALUE, or --env NAME");
      return pairOf(word, own);
    }),
  ];
  return Object.fromEntries(pairs);
}

/** A name alone takes the caller's value; where the caller has none, neither has the guest. */
function pairOf(word: string, own: Own): Pair[] {
  const at = word.indexOf("=");
  if (at > 0) return [[word.slice(0, at), word.slice(at + 1)]];
  const value = own[word];
  if (value === undefined) return [];
  refuseOtherBytesOf(word, value);
  return [[word, value]];
}

/** A line is taken as it stands, without quotes, escapes or comments behind a value: that is what such files mean. */
function pairsIn(path: string, own: Own): Pair[] {
  let lines: string[];
  try {
    lines = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path)).split(/\r?\n/);
  } catch (cause) {
    const why = cause instanceof TypeError ? "it is not UTF-8" : (cause as Error).message;
    throw new BangerError("env_file_unreadable", `--env-file ${path}: ${why}`, {
      hint: `ls -ld ${path}`,
      cause,
    });
  }
  return lines.flatMap((text, index) => {
    const line = text.trimStart();
    if (line === "" || line.startsWith("#")) return [];
    const [name = ""] = line.split("=", 1);
    if (name === "" || /\s/.test(name))
      throw usageError(`${path}:${index + 1}: "${name}" is not a variable name`, "NAME=VALUE in each line");
    return pairOf(line, own);
  });
}

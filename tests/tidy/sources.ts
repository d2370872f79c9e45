/** The repository's own files, and what the TypeScript among them imports, for the checks of its form. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

export const root = new URL("../../../", import.meta.url).pathname;

/** Made by tools, or somebody else's. */
const foreign = new Set(["node_modules", "dist", "build", ".git"]);

/** Paths below the repository's root, in order; of directories those whose content is ours. */
export function paths(directory = ""): string[] {
  return readdirSync(join(root, directory), { withFileTypes: true })
    .filter(({ name }) => !foreign.has(name))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory() ? paths(path) : entry.isFile() ? [path] : [];
    })
    .sort();
}

export const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Lines of a file, without the empty one after its last newline. */
export const linesOf = (path: string): string[] => read(path).replace(/\n$/, "").split("\n");

export const typescript = (...directories: string[]): string[] =>
  paths().filter((path) => path.endsWith(".ts") && directories.some((each) => path.startsWith(`${each}/`)));

export interface Import {
  from: string;
  /** Path of a file of ours, or the name of a package or Node module. */
  to: string;
  /** It leaves nothing in the program that runs. */
  typeOnly: boolean;
  /** It is loaded only when it is reached. */
  dynamic: boolean;
}

const statement = /^(import|export)( type)?\s+([^;]*?)\s*from\s+"([^"]+)";/gm;
const bare = /^import\s+"([^"]+)";/gm;
const call = /(?<!typeof )\bimport\("([^"]+)"\)/g;

/** Everything that the file imports. */
export function importsOf(from: string): Import[] {
  const text = read(from);
  const to = (name: string): string =>
    name.startsWith(".") ? normalize(join(dirname(from), name)).replace(/\.js$/, ".ts") : name;
  const onlyTypes = (names: string) =>
    names.startsWith("{") &&
    names
      .slice(1, -1)
      .split(",")
      .filter((each) => each.trim())
      .every((each) => each.trim().startsWith("type "));
  return [
    ...[...text.matchAll(statement)].map(([, , type, names = "", name = ""]) => ({
      from,
      to: to(name),
      typeOnly: type !== undefined || onlyTypes(names),
      dynamic: false,
    })),
    ...[...text.matchAll(bare)].map(([, name = ""]) => ({
      from,
      to: to(name),
      typeOnly: false,
      dynamic: false,
    })),
    ...[...text.matchAll(call)].map(([, name = ""]) => ({
      from,
      to: to(name),
      typeOnly: false,
      dynamic: true,
    })),
  ];
}

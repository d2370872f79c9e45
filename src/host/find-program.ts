/** Finds a program as a shell would, and in the sbin directories, which an ordinary PATH lacks. */
import { accessSync, constants, statSync } from "node:fs";
import { join, resolve } from "node:path";

const sbin = ["/usr/sbin", "/sbin"];

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The path of `name` in `searchPath` (as in PATH); a name with a slash is that path. Null where there is none. */
export function findProgram(name: string, searchPath: string): string | null {
  if (name.includes("/")) return isExecutable(name) ? resolve(name) : null;
  const places = [...searchPath.split(":").filter((each) => each.startsWith("/")), ...sbin];
  return places.map((place) => join(place, name)).find(isExecutable) ?? null;
}

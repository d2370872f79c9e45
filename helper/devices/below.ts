/** The part of a handle that lies below one of the home's directories. */

/** `path` comes from handles.ts, which makes it from `root`. */
export function below(root: string, path: string): string {
  if (!path.startsWith(`${root}/`)) throw new Error(`${path} does not lie below ${root}`);
  return path.slice(root.length + 1);
}

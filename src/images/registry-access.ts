/** How images are had from registries on behalf of the user: which places, which logins, which cache. */
import { type Home, homeHandles } from "../home/handles.js";
import type { PullOptions } from "../oci/pull.js";
import type { RegistryOption } from "../oci/registry.js";

/** A plain JSON value: the builder gets it with its job. */
export type RegistryAccess = Pick<PullOptions, "cacheDirectory" | "environment" | "searchPath"> & {
  authFile?: string;
  registries: readonly RegistryOption[];
};

/** What programs that keep logins need to know of their user. */
const forHelpers = [
  "HOME",
  "USER",
  "DOCKER_CONFIG",
  "GNUPGHOME",
  "PASSWORD_STORE_DIR",
  "XDG_RUNTIME_DIR",
  "DBUS_SESSION_BUS_ADDRESS",
];

export function registryAccess(
  home: Home,
  registries: readonly RegistryOption[],
  environment: Readonly<Record<string, string | undefined>>,
  searchPath: string,
): RegistryAccess {
  const own = environment["HOME"] && `${environment["HOME"]}/.docker`;
  const directory = environment["DOCKER_CONFIG"] || own;
  return {
    cacheDirectory: homeHandles(home).ociCache,
    environment: Object.fromEntries(forHelpers.map((name) => [name, environment[name]])),
    searchPath,
    ...(directory && { authFile: `${directory}/config.json` }),
    registries,
  };
}

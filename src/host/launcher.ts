/** The launcher (helper/launcher): the command lines of what is started clean, or clean and confined. */
import { fileURLToPath } from "node:url";

/** What a confined program may open, by absolute path; what is below a directory counts as well. */
export interface Confinement {
  read: readonly string[];
  write: readonly string[];
  /** It needs no network, and is kept from the host's where this user may do so. */
  offline?: boolean;
}

const built = (name: string): string => fileURLToPath(new URL(`../../../build/${name}`, import.meta.url));
export const launcherProgram = built("banger-launcher");
/** The network of one VM (helper/net). */
export const networkProgram = built("banger-net");

type Environment = Readonly<Record<string, string | undefined>>;

/** What a daemon keeps of its first caller's environment: where its files, programs, proxies and logins are. */
const kept = new RegExp(
  `^(${[
    "HOME|USER|LOGNAME|PATH|TMPDIR|TZ|LANG|LC_[A-Z]+",
    "XDG_[A-Z_]+|DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_CONFIG|GNUPGHOME|PASSWORD_STORE_DIR|GIT_CONFIG_GLOBAL",
    "(https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY",
    "BANGER_[A-Z_]+",
  ].join("|")})$`,
);

/** The daemon serves every later caller too: what is one caller's alone, as its secrets, does not get there. */
export const daemonEnvironment = (env: Environment): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => kept.test(entry[0]) && entry[1] !== undefined,
    ),
  );

/** Arguments that start a daemon with nothing of its caller's but what docs/inherited.md leaves it. */
export const daemonArguments = (program: string, argv: readonly string[]): string[] => [
  "daemon",
  "--",
  program,
  ...argv,
];

/** Arguments that start a VMM or what serves one, by its path, with little of the host in its reach. */
export const vmmArguments = (
  { read, write, offline }: Confinement,
  program: string,
  argv: readonly string[],
): string[] => [
  "vmm",
  ...read.flatMap((path) => ["--read", path]),
  ...write.flatMap((path) => ["--write", path]),
  ...(offline ? ["--offline"] : []),
  "--",
  program,
  ...argv,
];

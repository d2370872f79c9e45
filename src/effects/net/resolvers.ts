/** The name servers that this host asks, which its guests' questions go to as well. */
import { readFileSync } from "node:fs";

/** As many as a network process takes, and as resolv.conf(5) knows. */
const most = 3;

/** IPv4 addresses of name servers in the text of a resolv.conf; whatever else stands there is left out. */
const resolversIn = (text: string): string[] =>
  [...text.matchAll(/^[ \t]*nameserver[ \t]+((?:\d{1,3}\.){3}\d{1,3})\s*$/gm)]
    .map(([, address = ""]) => address)
    .filter((address) => address.split(".").every((part) => Number(part) < 256))
    .slice(0, most);

export class Resolvers {
  readonly #path: string;

  constructor(path = "/etc/resolv.conf") {
    this.#path = path;
  }

  /** Read anew each time: the host may be in another network by now. `key` tells lists apart. */
  now(): { addresses: string[]; key: string } {
    let text = "";
    try {
      text = readFileSync(this.#path, "utf8");
    } catch {
      // A host without any asks itself, says resolv.conf(5); so does one whose file cannot be read.
    }
    const found = resolversIn(text);
    const addresses = found.length > 0 ? found : ["127.0.0.1"];
    return { addresses, key: addresses.join("_").replaceAll(".", "-") };
  }
}

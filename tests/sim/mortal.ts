/** A log that dies with its daemon. */
import type { Log } from "../../src/log/log.js";

/** The log as its daemon sees it: once that is dead nothing reaches the file any more. */
export function mortal(log: Log, pulse: { alive: boolean }, boundary: () => void): Log {
  return new Proxy(log, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...parameters: unknown[]) => {
        if (name === "append") boundary();
        if (!pulse.alive) throw new Error("the daemon is dead");
        const result: unknown = Reflect.apply(value, target, parameters);
        if (name === "append") boundary();
        return result;
      };
    },
  });
}

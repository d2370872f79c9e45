/** How often a property came to what it is about: one whose cases hardly ever come there has proved nothing. */
import assert from "node:assert/strict";

/** Told right beside the assertion; only the names that a bound was given for can be told. */
type Hit<Name extends string> = (name: Name) => void;

type Bounds<Name extends string> = Readonly<Record<Name, number>>;

/**
 * Runs a property, and fails unless each name was hit as often as its bound says. What chance generates varies, so a
 * bound is well below what is usual; what the bounds are for is a generator that has come away from its subject.
 */
export function reached<Name extends string>(
  atLeast: Bounds<Name>,
  run: (hit: Hit<Name>) => Promise<void>,
): Promise<void>;
export function reached<Name extends string>(atLeast: Bounds<Name>, run: (hit: Hit<Name>) => void): void;
export function reached<Name extends string>(
  atLeast: Bounds<Name>,
  run: (hit: Hit<Name>) => void | Promise<void>,
): void | Promise<void> {
  const counts = new Map<string, number>();
  const over = run((name) => counts.set(name, (counts.get(name) ?? 0) + 1));
  const check = (): void => {
    const rare = Object.entries<number>(atLeast)
      .map(([name, bound]) => ({ name, bound, count: counts.get(name) ?? 0 }))
      .filter(({ bound, count }) => count < bound);
    assert.deepEqual(rare, [], "reached too rarely");
  };
  return over instanceof Promise ? over.then(check) : check();
}

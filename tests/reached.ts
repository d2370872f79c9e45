/** How often a property came to what it is about: one whose cases hardly ever come there has proved nothing. */
import assert from "node:assert/strict";

/**
 * What to call right beside an assertion, with its name. When the test is over it fails unless each name was called as
 * often as its bound says. What chance generates varies, so a bound is well below what is usual: what it is for is a
 * generator that has come away from its subject.
 */
export function reached<Name extends string>(
  t: { after: (done: () => void) => void },
  atLeast: Readonly<Record<Name, number>>,
): (name: Name) => void {
  const counts = new Map<string, number>();
  t.after(() => {
    const rare = Object.entries<number>(atLeast)
      .map(([name, bound]) => ({ name, bound, count: counts.get(name) ?? 0 }))
      .filter(({ bound, count }) => count < bound);
    assert.deepEqual(rare, [], "reached too rarely");
  });
  return (name) => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
}

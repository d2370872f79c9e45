/** "Did you mean": the known word nearest to a mistyped one. */

/** Levenshtein distance, with one swap of neighbours counting as one edit. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, at(before, j - 2) + 1);
      }
      next.push(best);
    }
    before = row;
    row = next;
  }
  return at(row, b.length);
}

const at = (row: readonly number[], index: number): number => row[index] as number;

/** The nearest of `known` when it is near enough to have been meant. */
export function suggest(word: string, known: readonly string[]): string | undefined {
  const furthest = word.length <= 3 ? Math.min(1, word.length - 1) : Math.min(3, Math.floor(word.length / 2));
  let best: { known: string; distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(word, candidate);
    if (distance <= furthest && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) {
      best = { known: candidate, distance };
    }
  }
  return best?.known;
}

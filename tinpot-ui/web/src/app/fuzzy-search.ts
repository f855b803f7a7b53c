// Search by a few letters of a name.

export interface Found<T> {
  item: T;
  score: number;
}

/**
 * Returns how well a text matches all words of a query, or null if one of them is missing.
 *
 * A word at the beginning of the text scores more than one at the beginning of a word, that more
 * than one inside, and that more than letters in order. Shorter texts score more.
 */
export function score(query: string, text: string): number | null {
  const lower = text.toLowerCase();
  let sum = 0;
  for (const word of query.toLowerCase().split(/\s+/).filter(Boolean)) {
    const at = lower.indexOf(word);
    if (at >= 0) {
      const before = lower[at - 1];
      sum += at === 0 ? 100 : before === undefined || /[^a-z0-9]/.test(before) ? 80 : 50;
    } else {
      const gaps = scattered(word, lower);
      if (gaps === null) return null;
      sum += Math.max(1, 30 - gaps);
    }
  }
  return sum - Math.min(text.length, 80) / 10;
}

/** Returns the number of letters between those of a word, or null if they are not in order. */
function scattered(word: string, text: string): number | null {
  let [at, gaps] = [0, 0];
  for (const [place, letter] of [...word].entries()) {
    const next = text.indexOf(letter, at);
    if (next < 0) return null;
    if (place > 0) gaps += next - at;
    at = next + letter.length;
  }
  return gaps;
}

/** Returns the best `limit` matches, the best first; equal ones keep their order. */
export function search<T>(
  query: string,
  items: readonly T[],
  textOf: (item: T) => string,
  limit: number,
): T[] {
  const found: Found<T>[] = [];
  for (const item of items) {
    const points = score(query, textOf(item));
    if (points !== null) found.push({ item, score: points });
  }
  found.sort((a, b) => b.score - a.score);
  return found.slice(0, limit).map((one) => one.item);
}

/** Returns true if a text contains all words of a query; filters do not match loosely. */
export function includesWords(query: string, text: string): boolean {
  const lower = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}

/** Marks what was searched for, within spans. */

import type { SearchQuery } from "../api/types";
import type { Span } from "./ansi";

export interface Piece extends Span {
  hit: boolean;
}

/** Marks in one line; more would not be looked at. */
const HITS_MAX = 500;

/** The search as a pattern of this browser; null when it has none for it: the server's patterns are not quite the same. */
export function patternOf(query: SearchQuery): RegExp | null {
  if (query.text === "") return null;
  const source = query.regex ? query.text : query.text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  try {
    return new RegExp(source, query.matchCase ? "gu" : "giu");
  } catch {
    return null;
  }
}

/** The spans, cut where hits begin and end. */
export function marked(spans: readonly Span[], pattern: RegExp | null): Piece[] {
  const plain = () => spans.map((span) => ({ ...span, hit: false }));
  if (pattern === null) return plain();
  const hits: [number, number][] = [];
  for (const match of spans
    .map((span) => span.text)
    .join("")
    .matchAll(pattern)) {
    if (match[0] !== "") hits.push([match.index, match.index + match[0].length]);
    if (hits.length >= HITS_MAX) break;
  }
  if (hits.length === 0) return plain();
  const pieces: Piece[] = [];
  let [at, hit] = [0, 0];
  for (const span of spans) {
    const end = at + span.text.length;
    let from = at;
    while (from < end) {
      const [start, stop] = hits[hit] ?? [Infinity, Infinity];
      if (stop <= from) {
        hit += 1;
        continue;
      }
      const inside = start <= from;
      const to = Math.min(end, inside ? stop : start);
      pieces.push({ text: span.text.slice(from - at, to - at), style: span.style, hit: inside });
      from = to;
    }
    at = end;
  }
  return pieces;
}

// Marks the matches of a search within styled text.

import type { SearchQuery } from "../api/types";
import type { Span } from "./ansi";

export interface Piece extends Span {
  isMatch: boolean;
}

/** The marks in one line. */
const HITS_MAX = 500;

/**
 * Returns the pattern of a search for this browser.
 *
 * Returns null if the browser cannot read it: the syntax of the server differs in details.
 */
export function patternOf(query: SearchQuery): RegExp | null {
  if (query.text === "") return null;
  const source = query.regex ? query.text : query.text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  try {
    return new RegExp(source, query.matchCase ? "gu" : "giu");
  } catch {
    return null;
  }
}

/** Splits spans at positions of the whole text, which ascend. */
export function split(spans: readonly Span[], positions: readonly number[]): Span[] {
  if (positions.length === 0) return [...spans];
  const pieces: Span[] = [];
  let [at, next] = [0, 0];
  for (const span of spans) {
    let from = 0;
    while (next < positions.length && (positions[next] as number) < at + span.text.length) {
      const to = (positions[next] as number) - at;
      if (to > from) pieces.push({ ...span, text: span.text.slice(from, to) });
      from = Math.max(from, to);
      next += 1;
    }
    pieces.push({ ...span, text: span.text.slice(from) });
    at += span.text.length;
  }
  return pieces;
}

/** Splits spans at the ends of matches. */
export function marked(spans: readonly Span[], pattern: RegExp | null): Piece[] {
  const plain = () => spans.map((span) => ({ ...span, isMatch: false }));
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
      pieces.push({
        text: span.text.slice(from - at, to - at),
        style: span.style,
        isMatch: inside,
      });
      from = to;
    }
    at = end;
  }
  return pieces;
}

// The lines of a log that are held: one run without holes and with a bound. The number of lines
// before and after it is an estimate until they are loaded.
//
// `seq` identifies a line. Steps and artifacts take numbers too, and a filter omits lines, so a
// position in the log can only be estimated from a number.

import type { LogLine } from "../api/types";
import { type HeldLine, lastOf } from "./folds";

/** The bounds of the held lines: many screens each way, and little memory even for long lines. */
export const LINES_MAX = 4_000;
export const CHARS_MAX = 16_000_000;

export interface LogWindow {
  readonly lines: readonly HeldLine[];
  /** If true, there are no lines before. */
  readonly atStart: boolean;
  /** If true, no lines after are known. */
  readonly atEnd: boolean;
  /** The characters of all messages. */
  readonly chars: number;
}

export const EMPTY_WINDOW: LogWindow = { lines: [], atStart: false, atEnd: false, chars: 0 };

/** Replaces the lines of folded steps. */
export type Fold = (lines: readonly HeldLine[]) => readonly HeldLine[];
const unfolded: Fold = (lines) => lines;

export function windowOf(lines: readonly HeldLine[], atStart: boolean, atEnd: boolean): LogWindow {
  return { lines, atStart, atEnd, chars: charsOf(lines) };
}

/** Appends a page, and drops lines at the start beyond the bound. */
export function appended(
  held: LogWindow,
  lines: readonly LogLine[],
  atEnd: boolean,
  fold = unfolded,
): LogWindow {
  const last = lastOf(held.lines[held.lines.length - 1]) ?? 0;
  const fresh = lines.filter((line) => line.seq > last);
  const all = held.lines.concat(fresh);
  return trimmedStart(grown(held, all, fresh, fold, held.atStart, atEnd));
}

function grown(
  held: LogWindow,
  all: readonly HeldLine[],
  fresh: readonly LogLine[],
  fold: Fold,
  atStart: boolean,
  atEnd: boolean,
): LogWindow {
  const lines = fold(all);
  // Counting all characters again would make a fast log slow.
  const chars = lines === all ? held.chars + charsOf(fresh) : charsOf(lines);
  return { lines, atStart, atEnd, chars };
}

/** Prepends a page, and drops lines at the end beyond the bound. */
export function prepended(
  held: LogWindow,
  lines: readonly LogLine[],
  atStart: boolean,
  fold = unfolded,
): LogWindow {
  const first = held.lines[0]?.seq ?? Infinity;
  const fresh = lines.filter((line) => line.seq < first);
  const all = [...fresh, ...held.lines];
  return trimmedEnd(grown(held, all, fresh, fold, atStart, held.atEnd));
}

function trimmedStart(held: LogWindow): LogWindow {
  let [from, chars] = [0, held.chars];
  while (
    from < held.lines.length - 1 &&
    (held.lines.length - from > LINES_MAX || chars > CHARS_MAX)
  ) {
    chars -= held.lines[from]?.message.length ?? 0;
    from += 1;
  }
  return from === 0 ? held : { ...held, lines: held.lines.slice(from), atStart: false, chars };
}

/** Drops lines at the end beyond the bound. */
export function trimmedEnd(held: LogWindow): LogWindow {
  let [to, chars] = [held.lines.length, held.chars];
  while (to > 1 && (to > LINES_MAX || chars > CHARS_MAX)) {
    to -= 1;
    chars -= held.lines[to]?.message.length ?? 0;
  }
  return to === held.lines.length
    ? held
    : { ...held, lines: held.lines.slice(0, to), atEnd: false, chars };
}

/** Returns the index of the first line with this number or a higher one, or `lines.length`. */
export function indexOfSeq(lines: readonly LogLine[], seq: number): number {
  let [low, high] = [0, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((lines[middle]?.seq ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Estimates the number of lines before and after the held ones. */
export function surroundings(held: LogWindow, lastSeq: number): { above: number; below: number } {
  const first = held.lines[0]?.seq;
  const last = lastOf(held.lines[held.lines.length - 1]);
  if (first === undefined || last === undefined) return { above: 0, below: 0 };
  // Assumes the density of the held lines, since filters and steps leave gaps in the numbers.
  const density = held.lines.length / (last - first + 1);
  const above = held.atStart ? 0 : Math.max(1, Math.round((first - 1) * density));
  const below = held.atEnd ? 0 : Math.max(1, Math.round((lastSeq - last) * density));
  return { above, below };
}

function charsOf(lines: readonly LogLine[]): number {
  return lines.reduce((sum, line) => sum + line.message.length, 0);
}

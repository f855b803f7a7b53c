/**
 * The lines that are held of a log: one run without holes, with a bound. What lies before and after is only estimated, until it is fetched.
 *
 * Lines are known by `seq`. The numbers have gaps where steps and files are noted, and wherever a filter leaves lines out, so a place in the log
 * is never computed from them, only guessed.
 */

import type { LogLine } from "../api/types";

/** What is held at most: some tens of screens each way, and little memory even with long lines. */
export const LINES_MAX = 4_000;
export const CHARS_MAX = 16_000_000;

export interface LogWindow {
  readonly lines: readonly LogLine[];
  /** Nothing lies before. */
  readonly atStart: boolean;
  /** Nothing lies after, as far as is known. */
  readonly atEnd: boolean;
  /** Characters of all messages. */
  readonly chars: number;
}

export const EMPTY_WINDOW: LogWindow = { lines: [], atStart: false, atEnd: false, chars: 0 };

export function windowOf(lines: readonly LogLine[], atStart: boolean, atEnd: boolean): LogWindow {
  return { lines, atStart, atEnd, chars: charsOf(lines) };
}

/** With the page that follows; lines at the far end give way. */
export function appended(held: LogWindow, lines: readonly LogLine[], atEnd: boolean): LogWindow {
  const last = held.lines[held.lines.length - 1]?.seq ?? 0;
  const fresh = lines.filter((line) => line.seq > last);
  const all = held.lines.concat(fresh);
  return trimmedStart({
    lines: all,
    atStart: held.atStart,
    atEnd,
    chars: held.chars + charsOf(fresh),
  });
}

/** With the page that precedes. */
export function prepended(held: LogWindow, lines: readonly LogLine[], atStart: boolean): LogWindow {
  const first = held.lines[0]?.seq ?? Infinity;
  const fresh = lines.filter((line) => line.seq < first);
  const all = fresh.concat(held.lines);
  return trimmedEnd({ lines: all, atStart, atEnd: held.atEnd, chars: held.chars + charsOf(fresh) });
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

/** Cut back at the end: for a reader who looks at earlier lines while more come. */
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

/** The place of the first line with that number or a higher one; `lines.length` when all are lower. */
export function indexOfSeq(lines: readonly LogLine[], seq: number): number {
  let [low, high] = [0, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((lines[middle]?.seq ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many lines are likely to lie before and after what is held. */
export function surroundings(held: LogWindow, lastSeq: number): { above: number; below: number } {
  const first = held.lines[0]?.seq;
  const last = held.lines[held.lines.length - 1]?.seq;
  if (first === undefined || last === undefined) return { above: 0, below: 0 };
  // As dense as what is held: a filter, or the notes between lines, thin the numbers out.
  const density = held.lines.length / (last - first + 1);
  const above = held.atStart ? 0 : Math.max(1, Math.round((first - 1) * density));
  const below = held.atEnd ? 0 : Math.max(1, Math.round((lastSeq - last) * density));
  return { above, below };
}

function charsOf(lines: readonly LogLine[]): number {
  return lines.reduce((sum, line) => sum + line.message.length, 0);
}

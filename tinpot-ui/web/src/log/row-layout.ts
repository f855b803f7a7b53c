// The arithmetic of the positions of rows on the screen.

import type { LogWindow } from "./line-window";
import { surroundings } from "./line-window";

/** The height of the empty space: browsers limit elements to 16 to 33 million pixels. */
export const SPACER_MAX_PX = 10_000_000;
/** The rows rendered beyond each edge of the screen. */
export const OVERSCAN = 24;
/** The rows rendered at most, for tall screens and low rows. */
export const RENDERED_MAX = 300;

export interface Layout {
  /** The top of each held row, from the first one; the last entry is the bottom of the last row. */
  tops: Float64Array;
  /** The heights of the empty space in place of the lines before and after. */
  above: number;
  below: number;
}

/** Lays out the held rows; `heightOf` measures or estimates each. */
export function layoutOf(
  held: LogWindow,
  lastSeq: number,
  rowPx: number,
  heightOf: (index: number) => number,
): Layout {
  const tops = new Float64Array(held.lines.length + 1);
  for (let index = 0; index < held.lines.length; index += 1)
    tops[index + 1] = (tops[index] ?? 0) + heightOf(index);
  const around = surroundings(held, lastSeq);
  const content = tops[held.lines.length] ?? 0;
  const mean = held.lines.length > 0 ? content / held.lines.length : rowPx;
  const wanted = (around.above + around.below) * mean;
  const scale = wanted > SPACER_MAX_PX ? SPACER_MAX_PX / wanted : 1;
  return {
    tops,
    above: Math.round(around.above * mean * scale),
    below: Math.round(around.below * mean * scale),
  };
}

/** Returns the last row whose top is at or above `y`, from the first held row. */
export function rowAt(tops: Float64Array, y: number): number {
  let [low, high] = [0, Math.max(0, tops.length - 2)];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((tops[middle] ?? 0) <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Returns the rows to render for a screen of `height` pixels at `scrollTop`. */
export function visible(
  layout: Layout,
  scrollTop: number,
  height: number,
): { from: number; to: number } {
  const rows = layout.tops.length - 1;
  if (rows <= 0) return { from: 0, to: 0 };
  const y = scrollTop - layout.above;
  const from = Math.max(0, rowAt(layout.tops, y) - OVERSCAN);
  const to = Math.min(rows, rowAt(layout.tops, y + height) + 1 + OVERSCAN, from + RENDERED_MAX);
  return { from, to };
}

/** Returns the number of the line to load for a screen without held rows, or null. */
export function missingAt(
  layout: Layout,
  held: LogWindow,
  lastSeq: number,
  scrollTop: number,
  height: number,
): number | null {
  const first = held.lines[0]?.seq;
  const last = held.lines[held.lines.length - 1]?.seq;
  if (first === undefined || last === undefined) return null;
  const content = layout.tops[layout.tops.length - 1] ?? 0;
  if (scrollTop + height < layout.above) {
    return Math.max(1, Math.round((scrollTop / Math.max(1, layout.above)) * first));
  }
  const beyond = scrollTop - layout.above - content;
  if (beyond > 0 && layout.below > 0) {
    return Math.min(lastSeq, Math.round(last + (beyond / layout.below) * (lastSeq - last)));
  }
  return null;
}

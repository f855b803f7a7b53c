// Scrolls the log to where the reader wants to be: at a line that keeps its place while lines are
// added and removed around it, at a target, or at the end. What the screen shows and the measured
// heights live in refs, because the layout changes them while it renders.
import { useCallback, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { LogLine } from "../api/types";
import { indexOfSeq } from "./line-window";
import type { LogModel } from "./model";
import { type Layout, layoutOf, missingAt, rowAt, visible } from "./row-layout";

/** The heights of a line and of a step's heading in log.css. */
export const ROW_PX = 19;
export const STEP_PX = 28;

/** During a drag of the scroll bar, lines load when it pauses, and at this interval until then. */
const JUMP_AFTER_MS = 60;
const JUMP_AT_LEAST_MS = 200;
/** The distance to the end of the held lines, in rows, at which the next page is loaded. */
const AHEAD_ROWS = 150;

interface Anchor {
  seq: number;
  /** The distance from the top of the screen to the top of the row. */
  offset: number;
}

export interface Viewport {
  from: number;
  to: number;
  above: number;
  below: number;
  /** Returns the number of the line at the top of the screen. */
  topSeq: () => number | null;
  /** Returns true if a line is on the screen as a whole. */
  isShown: (seq: number) => boolean;
}

interface Options {
  model: LogModel;
  /** If false, all rows have the same height except unfolded ones. */
  wrap: boolean;
  headings: (index: number) => number;
  live: boolean;
}

export function useViewport(
  scroller: { current: HTMLDivElement | null },
  { model, wrap, headings, live }: Options,
): Viewport {
  const [, setRenders] = useState(0);
  const render = (): void => setRenders((count) => count + 1);
  const heights = useRef(new Map<number, number>());
  const measuredMean = useRef(ROW_PX);
  const anchor = useRef<Anchor | null>(null);
  /** The position that this code scrolled to, so that its event is not taken for the reader's. */
  const placed = useRef(-1);
  const screen = useRef({ top: 0, height: 600, width: 0 });
  const jump = useRef<{ timer: ReturnType<typeof setTimeout> | null; first: number }>({
    timer: null,
    first: 0,
  });

  const wrapped = useRef(wrap);
  if (wrapped.current !== wrap) {
    wrapped.current = wrap;
    heights.current.clear();
    measuredMean.current = ROW_PX;
  }

  const folds = useRef(model.folds.value);
  if (folds.current !== model.folds.value) {
    folds.current = model.folds.value;
    heights.current.clear();
  }

  const held = model.held.value;
  // Read here so that a new target renders.
  void [model.target.value, model.following.value];
  const heightOf = (index: number): number => {
    const line = held.lines[index];
    return (
      heights.current.get(line?.seq ?? 0) ??
      (line?.folded !== undefined ? 0 : wrap ? measuredMean.current : ROW_PX) +
        headings(index) * STEP_PX
    );
  };
  const layout: Layout = layoutOf(held, model.lastSeq.value, measuredMean.current, heightOf);
  const latest = useRef(layout);
  latest.current = layout;

  const remember = useCallback(() => {
    const { tops, above } = latest.current;
    const { top } = screen.current;
    const { lines } = model.held.peek();
    const rows = lines.length;
    const y = top - above;
    const outside = rows === 0 || y + screen.current.height < 0 || y > (tops[rows] ?? 0);
    const index = rowAt(tops, y);
    const seq = lines[index]?.seq;
    anchor.current = outside || seq === undefined ? null : { seq, offset: (tops[index] ?? 0) - y };
  }, [model]);

  const fetchAround = useCallback(() => {
    const now = model.held.peek();
    const { top, height } = screen.current;
    const missing = missingAt(latest.current, now, model.lastSeq.peek(), top, height);
    if (missing !== null) {
      const went = () => {
        jump.current = { timer: null, first: 0 };
        void model.jumpTo(missing, "start");
      };
      if (jump.current.timer !== null) clearTimeout(jump.current.timer);
      const began = jump.current.first === 0 ? performance.now() : jump.current.first;
      const wait = Math.min(
        JUMP_AFTER_MS,
        Math.max(0, began + JUMP_AT_LEAST_MS - performance.now()),
      );
      jump.current = { timer: setTimeout(went, wait), first: began };
      return;
    }
    const { from, to } = visible(latest.current, top, height);
    if (to > now.lines.length - AHEAD_ROWS && !now.atEnd) void model.more();
    else if (from < AHEAD_ROWS && !now.atStart) void model.less();
  }, [model]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const scrolled = () => {
      const before = screen.current.top;
      const top = element.scrollTop;
      screen.current.top = top;
      if (Math.abs(top - placed.current) > 1) {
        placed.current = -1;
        const atBottom = top + element.clientHeight >= element.scrollHeight - 2;
        if (top < before - 1 && !atBottom) model.setFollowing(false);
        if (atBottom && model.held.peek().atEnd) {
          if (live) model.setFollowing(true);
          else model.markAllSeen();
        }
        // The reader has scrolled, so the target no longer applies.
        model.target.value = null;
      }
      remember();
      fetchAround();
      render();
    };
    const resized = new ResizeObserver(() => {
      const { clientHeight, clientWidth } = element;
      if (clientHeight === 0) return;
      if (wrapped.current && clientWidth !== screen.current.width) heights.current.clear();
      Object.assign(screen.current, { height: clientHeight, width: clientWidth });
      render();
    });
    element.addEventListener("scroll", scrolled, { passive: true });
    resized.observe(element);
    return () => {
      element.removeEventListener("scroll", scrolled);
      resized.disconnect();
      if (jump.current.timer !== null) clearTimeout(jump.current.timer);
    };
  }, [model, live, scroller, remember, fetchAround]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null || element.clientHeight === 0) return;
    // Rows with another height than assumed: lay out again before the browser paints.
    if (measure(element, heights.current, layout.tops, held.lines)) {
      if (wrap) measuredMean.current = meanOf(heights.current);
      render();
      return;
    }
    const wanted = place(element);
    if (wanted !== null && Math.abs(element.scrollTop - wanted) > 0.9) {
      element.scrollTop = wanted;
      placed.current = element.scrollTop;
      screen.current.top = element.scrollTop;
      remember();
      render();
    }
    if (!model.busy.peek()) fetchAround();
  });

  /** Returns the position to scroll to, or null to leave the screen as it is. */
  function place(element: HTMLDivElement): number | null {
    const { tops, above } = latest.current;
    const { lines, atEnd } = model.held.peek();
    if (lines.length === 0) return null;
    const height = element.clientHeight;
    const limit = element.scrollHeight - height;
    if (model.following.peek() && atEnd) {
      model.target.value = null;
      return limit;
    }
    const target = model.target.peek();
    if (target !== null) {
      const wanted = aimedAt(target.seq, target.align, tops, above, height);
      const bounded = Math.max(0, Math.min(limit, wanted));
      const seq = lines[rowAt(tops, bounded - above)]?.seq;
      // The target is reached and its surroundings are measured: the line at the top stays there.
      if (Math.abs(element.scrollTop - bounded) <= 1) {
        model.target.value = null;
        if (seq !== undefined) remember();
      }
      return bounded;
    }
    if (anchor.current === null) return null;
    const index = Math.min(lines.length - 1, indexOfSeq(lines, anchor.current.seq));
    return Math.max(0, Math.min(limit, above + (tops[index] ?? 0) - anchor.current.offset));
  }

  /** Returns the position that shows a line, or the end, in the wanted part of the screen. */
  function aimedAt(
    seq: number,
    align: "start" | "middle" | "end",
    tops: Float64Array,
    above: number,
    height: number,
  ): number {
    const { lines } = model.held.peek();
    const rows = lines.length;
    if (align === "end") return above + (tops[rows] ?? 0) - height;
    if (seq === 0) return 0;
    const index = Math.min(rows - 1, indexOfSeq(lines, seq));
    const y = above + (tops[index] ?? 0);
    return align === "middle" ? y - Math.max(0, height / 2 - ROW_PX) : y;
  }

  const { from, to } = visible(layout, screen.current.top, screen.current.height);
  const top = layout.tops;
  return {
    from,
    to,
    above: layout.above + (top[from] ?? 0),
    below: (top[top.length - 1] ?? 0) - (top[to] ?? 0) + layout.below,
    topSeq: () => anchor.current?.seq ?? null,
    isShown: (seq) => {
      const { lines } = model.held.peek();
      const index = indexOfSeq(lines, seq);
      const y = layout.above + (layout.tops[index] ?? 0) - screen.current.top;
      return lines[index]?.seq === seq && y >= 0 && y <= screen.current.height - ROW_PX;
    },
  };
}

/** Reads the heights of the rendered rows. Returns true if any differs from the layout. */
function measure(
  element: HTMLDivElement,
  heights: Map<number, number>,
  tops: Float64Array,
  lines: readonly LogLine[],
): boolean {
  let changed = false;
  if (heights.size > 20_000) heights.clear();
  let index = 0;
  for (const row of element.querySelectorAll<HTMLElement>(".log-line")) {
    const seq = Number(row.dataset.seq);
    const height = row.offsetHeight;
    while (index < lines.length && (lines[index]?.seq ?? 0) < seq) index += 1;
    const assumed = (tops[index + 1] ?? 0) - (tops[index] ?? 0);
    if (assumed !== height) changed = true;
    heights.set(seq, height);
  }
  return changed;
}

function meanOf(heights: Map<number, number>): number {
  let sum = 0;
  for (const height of heights.values()) sum += height;
  return heights.size > 0 ? sum / heights.size : ROW_PX;
}

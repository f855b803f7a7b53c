/** Keeps the screen where the reader wants it: at a line that stays in place while lines come and go around it, at a target, or at the end. */
import { useCallback, useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { indexOfSeq } from "./line-window";
import type { LogModel } from "./model";
import { type Layout, layoutOf, missingAt, rowAt, visible } from "./row-layout";

/** As in the style sheet. */
export const ROW_PX = 19;
export const STEP_PX = 30;

/** A drag of the scroll bar asks for lines once it pauses, and now and then while it does not. */
const JUMP_AFTER_MS = 60;
const JUMP_AT_LEAST_MS = 200;
/** Rows before the edge of what is held at which more is fetched. */
const AHEAD_ROWS = 150;

interface Anchor {
  seq: number;
  /** From the top of the screen to the top of the row. */
  offset: number;
}

export interface Viewport {
  from: number;
  to: number;
  above: number;
  below: number;
  /** The line at the top of the screen. */
  topSeq: () => number | null;
}

interface Options {
  model: LogModel;
  /** Rows have all the same height, but for those that are unfolded. */
  wrap: boolean;
  hasHeading: (index: number) => boolean;
  live: boolean;
}

export function useViewport(
  scroller: { current: HTMLDivElement | null },
  { model, wrap, hasHeading, live }: Options,
): Viewport {
  const [, redraw] = useReducer<number, void>((count) => count + 1, 0);
  const heights = useRef(new Map<number, number>());
  const measuredMean = useRef(ROW_PX);
  const anchor = useRef<Anchor | null>(null);
  /** Where we have put the screen ourselves: such an event is none of the reader's. */
  const placed = useRef(-1);
  const screen = useRef({ top: 0, height: 600, width: 0 });
  const jump = useRef<{ timer: ReturnType<typeof setTimeout> | null; first: number }>({
    timer: null,
    first: 0,
  });

  // Before anything is asked for: an answer may be there before the next frame.
  useLayoutEffect(() => model.subscribe(() => redraw()), [model]);

  const wrapped = useRef(wrap);
  if (wrapped.current !== wrap) {
    wrapped.current = wrap;
    heights.current.clear();
    measuredMean.current = ROW_PX;
  }

  const { held } = model;
  const layout: Layout = layoutOf(held, model.lastSeq, measuredMean.current, (index) => {
    const seq = held.lines[index]?.seq ?? 0;
    return (
      heights.current.get(seq) ??
      (wrap ? measuredMean.current : ROW_PX) + (hasHeading(index) ? STEP_PX : 0)
    );
  });
  const latest = useRef(layout);
  latest.current = layout;

  const remember = useCallback(() => {
    const { tops, above } = latest.current;
    const { top } = screen.current;
    const rows = model.held.lines.length;
    const y = top - above;
    const outside = rows === 0 || y + screen.current.height < 0 || y > (tops[rows] ?? 0);
    const index = rowAt(tops, y);
    const seq = model.held.lines[index]?.seq;
    anchor.current = outside || seq === undefined ? null : { seq, offset: (tops[index] ?? 0) - y };
  }, [model]);

  const fetchAround = useCallback(() => {
    const { held: now, lastSeq } = model;
    const { top, height } = screen.current;
    const missing = missingAt(latest.current, now, lastSeq, top, height);
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
        if (atBottom && model.held.atEnd) {
          if (live) model.setFollowing(true);
          else model.seenAll();
        }
        // What was aimed at is given up for where the reader goes.
        model.target = null;
      }
      remember();
      fetchAround();
      redraw();
    };
    const resized = new ResizeObserver(() => {
      const { clientHeight, clientWidth } = element;
      if (clientHeight === 0) return;
      if (wrapped.current && clientWidth !== screen.current.width) heights.current.clear();
      Object.assign(screen.current, { height: clientHeight, width: clientWidth });
      redraw();
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
    // Rows that are not as high as they were thought to be: lay out again before anything is painted.
    if (measure(element, heights.current)) {
      if (wrap) measuredMean.current = meanOf(heights.current);
      redraw();
      return;
    }
    const wanted = place(element);
    if (wanted !== null && Math.abs(element.scrollTop - wanted) > 0.9) {
      element.scrollTop = wanted;
      placed.current = element.scrollTop;
      screen.current.top = element.scrollTop;
      remember();
      redraw();
    }
    if (!model.busy) fetchAround();
  });

  function place(element: HTMLDivElement): number | null {
    const { tops, above } = latest.current;
    const rows = model.held.lines.length;
    if (rows === 0) return null;
    const height = element.clientHeight;
    const limit = element.scrollHeight - height;
    if (model.following && model.held.atEnd) {
      model.target = null;
      return limit;
    }
    const { target } = model;
    if (target !== null) {
      const wanted = aimedAt(target.seq, target.align, tops, above, height);
      const bounded = Math.max(0, Math.min(limit, wanted));
      const seq = model.held.lines[rowAt(tops, bounded - above)]?.seq;
      // Once it is there, and its surroundings are measured, the line at the top keeps its place.
      if (Math.abs(element.scrollTop - bounded) <= 1) {
        model.target = null;
        if (seq !== undefined) remember();
      }
      return bounded;
    }
    if (anchor.current === null) return null;
    const index = Math.min(rows - 1, indexOfSeq(model.held.lines, anchor.current.seq));
    return Math.max(0, Math.min(limit, above + (tops[index] ?? 0) - anchor.current.offset));
  }

  function aimedAt(
    seq: number,
    align: "start" | "middle" | "end",
    tops: Float64Array,
    above: number,
    height: number,
  ): number {
    const rows = model.held.lines.length;
    if (align === "end") return above + (tops[rows] ?? 0) - height;
    if (seq === 0) return 0;
    const index = Math.min(rows - 1, indexOfSeq(model.held.lines, seq));
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
  };
}

/** Reads the heights of what is rendered; says whether any was not known. */
function measure(element: HTMLDivElement, heights: Map<number, number>): boolean {
  let changed = false;
  if (heights.size > 20_000) heights.clear();
  for (const row of element.querySelectorAll<HTMLElement>(".log-line")) {
    const seq = Number(row.dataset.seq);
    const height = row.offsetHeight;
    if (heights.get(seq) !== height) {
      heights.set(seq, height);
      changed = true;
    }
  }
  return changed;
}

function meanOf(heights: Map<number, number>): number {
  let sum = 0;
  for (const height of heights.values()) sum += height;
  return heights.size > 0 ? sum / heights.size : ROW_PX;
}

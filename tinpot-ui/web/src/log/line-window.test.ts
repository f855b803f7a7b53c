import { describe, expect, test } from "vitest";

import type { LogLine } from "../api/types";
import { passes } from "./line-filter";
import {
  appended,
  CHARS_MAX,
  EMPTY_WINDOW,
  indexOfSeq,
  LINES_MAX,
  prepended,
  surroundings,
  windowOf,
} from "./line-window";

function line(seq: number, message = `line ${seq}`): LogLine {
  return { seq, message, timestamp: "2026-01-01T00:00:00Z", level: "INFO", stream: "stdout" };
}
const run = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => line(from + index));
const ends = (lines: readonly LogLine[]) => [lines[0]?.seq, lines[lines.length - 1]?.seq];

describe("the held lines", () => {
  test("take each line once, even if it arrives twice", () => {
    const held = appended(
      appended(windowOf(run(1, 10), true, true), run(8, 12), true),
      run(8, 12),
      true,
    );
    expect(held.lines.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });

  test("are bounded, and record at which end lines were dropped", () => {
    const grown = appended(
      windowOf(run(1, LINES_MAX), true, true),
      run(LINES_MAX + 1, LINES_MAX + 100),
      true,
    );
    expect(grown.lines.length).toBe(LINES_MAX);
    expect([grown.atStart, grown.atEnd]).toEqual([false, true]);
    expect(ends(grown.lines)).toEqual([101, LINES_MAX + 100]);
    const back = prepended(grown, run(1, 100), true);
    expect([back.atStart, back.atEnd]).toEqual([true, false]);
    expect(ends(back.lines)).toEqual([1, LINES_MAX]);
  });

  test("are bounded by the length of long lines", () => {
    const long = "x".repeat(CHARS_MAX / 4);
    const held = [1, 2, 3, 4, 5, 6].reduce(
      (sum, seq) => appended(sum, [line(seq, long)], true),
      EMPTY_WINDOW,
    );
    expect(held.lines.length).toBe(4);
    expect(held.chars).toBeLessThanOrEqual(CHARS_MAX);
  });

  test("keep a single line beyond every bound", () => {
    const held = appended(EMPTY_WINDOW, [line(1, "x".repeat(CHARS_MAX + 1))], true);
    expect(held.lines.length).toBe(1);
  });

  test("are found by number, across gaps", () => {
    const lines = [line(2), line(5), line(9)];
    expect([1, 2, 3, 5, 6, 9, 10].map((seq) => indexOfSeq(lines, seq))).toEqual([
      0, 0, 1, 1, 2, 2, 3,
    ]);
  });

  test("estimate the lines around them from their own density", () => {
    const every10 = Array.from({ length: 100 }, (_, index) => line(10_000 + index * 10));
    const around = surroundings(windowOf(every10, false, false), 300_000);
    expect(around.above).toBeGreaterThan(900);
    expect(around.above).toBeLessThan(1_100);
    expect(around.below).toBeGreaterThan(28_000);
    expect(surroundings(windowOf(every10, true, true), 300_000)).toEqual({ above: 0, below: 0 });
  });
});

describe("passes", () => {
  test("filters by level and stream as the server does", () => {
    const warning: LogLine = { ...line(1), level: "WARNING", stream: "log" };
    expect(passes(warning, { level: "warning", streams: [] })).toBe(true);
    expect(passes(warning, { level: "error", streams: [] })).toBe(false);
    expect(passes(warning, { level: null, streams: ["stdout"] })).toBe(false);
    expect(passes(warning, { level: "info", streams: ["stdout", "log"] })).toBe(true);
  });
});

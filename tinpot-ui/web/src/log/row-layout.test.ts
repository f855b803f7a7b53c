import { describe, expect, test } from "vitest";
import type { LogLine } from "../api/types";
import { windowOf } from "./line-window";
import { layoutOf, missingAt, RENDERED_MAX, rowAt, SPACER_MAX_PX, visible } from "./row-layout";

const lines = (from: number, count: number): LogLine[] =>
  Array.from({ length: count }, (_, index) => ({
    seq: from + index,
    message: "",
    timestamp: "",
    level: "INFO",
    stream: "stdout",
  }));

describe("the layout", () => {
  test("reserves space for lines that are not held", () => {
    const held = windowOf(lines(100_001, 500), false, false);
    const layout = layoutOf(held, 300_000, 20, () => 20);
    expect(layout.above).toBe(100_000 * 20);
    expect(layout.below).toBe(199_500 * 20);
  });

  test("stays below the limits of browsers with ten million lines", () => {
    const layout = layoutOf(
      windowOf(lines(5_000_001, 500), false, false),
      10_000_000,
      20,
      () => 20,
    );
    expect(layout.above + layout.below).toBeLessThanOrEqual(SPACER_MAX_PX + 2);
    expect(layout.above).toBeGreaterThan(SPACER_MAX_PX * 0.45);
  });

  test("finds rows of any height", () => {
    const layout = layoutOf(
      windowOf(lines(1, 4), true, true),
      4,
      20,
      (index) => [20, 100, 20, 20][index] ?? 0,
    );
    expect([...layout.tops]).toEqual([0, 20, 120, 140, 160]);
    expect([-5, 0, 19, 20, 119, 120, 159, 999].map((y) => rowAt(layout.tops, y))).toEqual([
      0, 0, 0, 1, 1, 2, 3, 3,
    ]);
  });

  test("renders a bounded number of rows at any position", () => {
    const layout = layoutOf(windowOf(lines(1, 4_000), true, false), 300_000, 1, () => 1);
    for (let y = 0; y < 400_000; y += 997) {
      const { from, to } = visible(layout, y, 5_000);
      expect(to - from).toBeLessThanOrEqual(RENDERED_MAX);
      expect(from).toBeGreaterThanOrEqual(0);
    }
  });

  test("names the line to load where no lines are held", () => {
    const held = windowOf(lines(100_001, 500), false, false);
    const layout = layoutOf(held, 300_000, 20, () => 20);
    expect(missingAt(layout, held, 300_000, 0, 800)).toBe(1);
    expect(missingAt(layout, held, 300_000, 1_000_000, 800)).toBeCloseTo(50_000, -2);
    expect(missingAt(layout, held, 300_000, layout.above + 100, 800)).toBeNull();
    expect(missingAt(layout, held, 300_000, 300_000 * 20, 800)).toBe(300_000);
  });
});

import { describe, expect, test } from "vitest";

import { marked, patternOf } from "./highlight";
import { extended, linesHash, parseLines } from "./line-links";

describe("links to lines", () => {
  test("are parsed and written", () => {
    expect(parseLines("#L12")).toEqual({ from: 12, to: 12 });
    expect(parseLines("#L20-L12")).toEqual({ from: 12, to: 20 });
    expect(linesHash({ from: 12, to: 20 })).toBe("#L12-L20");
    expect(linesHash({ from: 12, to: 12 })).toBe("#L12");
    for (const wrong of [
      "",
      "#",
      "#L",
      "#L0",
      "#Lx",
      "#L1-",
      "#L12-L0",
      "#L1e5",
      `#L${"9".repeat(30)}`,
    ]) {
      expect(parseLines(wrong)).toBeNull();
    }
  });

  test("extend from the start of the selection", () => {
    const first = extended(null, null, 10, false);
    const down = extended(first, 10, 14, true);
    expect(down).toEqual({ from: 10, to: 14 });
    expect(extended(down, 10, 6, true)).toEqual({ from: 6, to: 10 });
    expect(extended(null, null, 7, true)).toEqual({ from: 7, to: 7 });
  });
});

describe("marks of a search", () => {
  const spans = [
    { text: "abc", style: null },
    { text: "def", style: { bold: true } },
  ];

  test("split spans at their ends", () => {
    expect(marked(spans, patternOf({ text: "CD", regex: false, matchCase: false }))).toEqual([
      { text: "ab", style: null, isMatch: false },
      { text: "c", style: null, isMatch: true },
      { text: "d", style: { bold: true }, isMatch: true },
      { text: "ef", style: { bold: true }, isMatch: false },
    ]);
  });

  test("match text literally, and a pattern as a pattern", () => {
    expect(
      marked(
        [{ text: "a.c abc", style: null }],
        patternOf({ text: "a.c", regex: false, matchCase: true }),
      ),
    ).toEqual([
      { text: "a.c", style: null, isMatch: true },
      { text: " abc", style: null, isMatch: false },
    ]);
    expect(patternOf({ text: "(", regex: true, matchCase: false })).toBeNull();
    expect(patternOf({ text: "", regex: false, matchCase: false })).toBeNull();
  });

  test("do not loop on empty matches", () => {
    expect(
      marked(spans, patternOf({ text: "x*", regex: true, matchCase: false })).every(
        (piece) => !piece.isMatch,
      ),
    ).toBe(true);
  });
});

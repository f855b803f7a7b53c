import { describe, expect, test } from "vitest";

import { paletteColour, parseAnsi, plainText } from "./ansi";

const ESC = "\x1b";

describe("parseAnsi", () => {
  test("keeps plain text, including markup", () => {
    expect(parseAnsi("<script>alert(1)</script>")).toEqual([
      { text: "<script>alert(1)</script>", style: null },
    ]);
    expect(parseAnsi("")).toEqual([]);
  });

  test("parses the 16 colours, bright ones, and resets", () => {
    expect(parseAnsi(`a${ESC}[31mb${ESC}[0mc${ESC}[97;44md${ESC}[me`)).toEqual([
      { text: "a", style: null },
      { text: "b", style: { fg: 1 } },
      { text: "c", style: null },
      { text: "d", style: { fg: 15, bg: 4 } },
      { text: "e", style: null },
    ]);
  });

  test("parses 256 colours and true colours, with semicolons and with colons", () => {
    expect(parseAnsi(`${ESC}[38;5;208ma`)[0]?.style).toEqual({ fg: 208 });
    expect(parseAnsi(`${ESC}[38;2;1;2;255;1ma`)[0]?.style).toEqual({ fg: "#0102ff", bold: true });
    expect(parseAnsi(`${ESC}[48:2::10:20:30ma`)[0]?.style).toEqual({ bg: "#0a141e" });
    expect(parseAnsi(`${ESC}[38:5:9ma`)[0]?.style).toEqual({ fg: 9 });
  });

  test("ignores invalid colours", () => {
    expect(parseAnsi(`${ESC}[38;5;999ma`)).toEqual([{ text: "a", style: null }]);
    expect(parseAnsi(`${ESC}[38;2;1;2ma`)).toEqual([{ text: "a", style: null }]);
  });

  test("parses bold, italic, underline and inverse, and their ends", () => {
    const spans = parseAnsi(`${ESC}[1;3;4;7ma${ESC}[22;23;24;27mb`);
    expect(spans[0]?.style).toEqual({ bold: true, italic: true, underline: true, inverse: true });
    expect(spans[1]?.style).toBeNull();
  });

  test("drops other sequences, complete or cut", () => {
    expect(
      plainText(`a${ESC}[2Jb${ESC}]0;title\x07c${ESC}]8;;https://x\x1b\\d${ESC}(Be${ESC}`),
    ).toBe("abcde");
  });

  test("joins adjacent spans of the same style", () => {
    expect(parseAnsi(`${ESC}[31ma${ESC}[31mb`)).toEqual([{ text: "ab", style: { fg: 1 } }]);
  });

  test("shows unprintable characters as symbols", () => {
    expect(plainText("a\x00b\x7fc\td")).toBe("a␀b␡c\td");
  });
});

describe("carriage returns", () => {
  test("reduce a progress bar to its last state", () => {
    expect(plainText("10%\r50%\r100%")).toBe("100%");
  });

  test("overwrite cell by cell, as a terminal does", () => {
    expect(plainText("abcdef\rXY")).toBe("XYcdef");
    expect(plainText(`abcdef\r${ESC}[KXY`)).toBe("XY");
    expect(plainText(`abc\r${ESC}[2Kz`)).toBe("z");
  });

  test("keep the styles of the remaining text", () => {
    expect(parseAnsi(`${ESC}[31mabc${ESC}[0m\rX`)).toEqual([
      { text: "X", style: null },
      { text: "bc", style: { fg: 1 } },
    ]);
  });

  test("erase nothing at the end of a line", () => {
    expect(plainText("hello\r")).toBe("hello");
  });

  test("move back with backspaces", () => {
    expect(plainText("ab\b\bX")).toBe("Xb");
  });

  test("of a long progress bar are fast", () => {
    const began = performance.now();
    expect(
      plainText(`${"0123456789".repeat(12) + "\r".padStart(1000, "x").repeat(100)}end`).startsWith(
        "end",
      ),
    ).toBe(true);
    expect(performance.now() - began).toBeLessThan(500);
  });
});

describe("paletteColour", () => {
  test("is that of xterm", () => {
    expect([16, 21, 196, 231, 232, 255].map(paletteColour)).toEqual([
      "#000000",
      "#0000ff",
      "#ff0000",
      "#ffffff",
      "#080808",
      "#eeeeee",
    ]);
  });
});

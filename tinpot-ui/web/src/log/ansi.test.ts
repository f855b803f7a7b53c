import { describe, expect, it } from "vitest";

import { paletteColour, parseAnsi, plainText } from "./ansi";

const ESC = "\x1b";

describe("parseAnsi", () => {
  it("leaves plain text alone, markup included", () => {
    expect(parseAnsi("<script>alert(1)</script>")).toEqual([
      { text: "<script>alert(1)</script>", style: null },
    ]);
    expect(parseAnsi("")).toEqual([]);
  });

  it("reads the sixteen colours, bright ones, and resets", () => {
    expect(parseAnsi(`a${ESC}[31mb${ESC}[0mc${ESC}[97;44md${ESC}[me`)).toEqual([
      { text: "a", style: null },
      { text: "b", style: { fg: 1 } },
      { text: "c", style: null },
      { text: "d", style: { fg: 15, bg: 4 } },
      { text: "e", style: null },
    ]);
  });

  it("reads 256 colours and true colours, with semicolons and with colons", () => {
    expect(parseAnsi(`${ESC}[38;5;208ma`)[0]?.style).toEqual({ fg: 208 });
    expect(parseAnsi(`${ESC}[38;2;1;2;255;1ma`)[0]?.style).toEqual({ fg: "#0102ff", bold: true });
    expect(parseAnsi(`${ESC}[48:2::10:20:30ma`)[0]?.style).toEqual({ bg: "#0a141e" });
    expect(parseAnsi(`${ESC}[38:5:9ma`)[0]?.style).toEqual({ fg: 9 });
  });

  it("ignores colours that are none", () => {
    expect(parseAnsi(`${ESC}[38;5;999ma`)).toEqual([{ text: "a", style: null }]);
    expect(parseAnsi(`${ESC}[38;2;1;2ma`)).toEqual([{ text: "a", style: null }]);
  });

  it("reads bold, italic, underline and inverse, and their ends", () => {
    const spans = parseAnsi(`${ESC}[1;3;4;7ma${ESC}[22;23;24;27mb`);
    expect(spans[0]?.style).toEqual({ bold: true, italic: true, underline: true, inverse: true });
    expect(spans[1]?.style).toBeNull();
  });

  it("drops other sequences, whole or cut", () => {
    expect(
      plainText(`a${ESC}[2Jb${ESC}]0;title\x07c${ESC}]8;;https://x\x1b\\d${ESC}(Be${ESC}`),
    ).toBe("abcde");
  });

  it("joins neighbours of the same style", () => {
    expect(parseAnsi(`${ESC}[31ma${ESC}[31mb`)).toEqual([{ text: "ab", style: { fg: 1 } }]);
  });

  it("shows what a terminal would not print", () => {
    expect(plainText("a\x00b\x7fc\td")).toBe("a␀b␡c\td");
  });
});

describe("carriage returns", () => {
  it("collapse a progress bar to its last state", () => {
    expect(plainText("10%\r50%\r100%")).toBe("100%");
  });

  it("overwrite cell by cell, as a terminal does", () => {
    expect(plainText("abcdef\rXY")).toBe("XYcdef");
    expect(plainText(`abcdef\r${ESC}[KXY`)).toBe("XY");
    expect(plainText(`abc\r${ESC}[2Kz`)).toBe("z");
  });

  it("keep the styles of what stays", () => {
    expect(parseAnsi(`${ESC}[31mabc${ESC}[0m\rX`)).toEqual([
      { text: "X", style: null },
      { text: "bc", style: { fg: 1 } },
    ]);
  });

  it("at the end, as of a file from Windows, erase nothing", () => {
    expect(plainText("hello\r")).toBe("hello");
  });

  it("move back by backspaces", () => {
    expect(plainText("ab\b\bX")).toBe("Xb");
  });

  it("of a huge bar take no time", () => {
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
  it("is that of xterm", () => {
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

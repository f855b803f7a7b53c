import { describe, expect, test } from "vitest";

import { against, contrast, luminanceOf, paint } from "./legible-colours";

describe("against", () => {
  test("makes every colour legible on both surfaces", () => {
    for (const surface of ["#f0f0ec", "#22252a"]) {
      const ground = luminanceOf(surface);
      for (let value = 0; value < 4096; value += 7) {
        const hex = `#${[...value.toString(16).padStart(3, "0")].map((digit) => digit + digit).join("")}`;
        expect(contrast(luminanceOf(against(hex, ground)), ground)).toBeGreaterThanOrEqual(4.5);
      }
    }
  });

  test("keeps a legible colour", () => {
    expect(against("#0000aa", luminanceOf("#ffffff"))).toBe("#0000aa");
  });
});

describe("paint", () => {
  test("leaves the 16 colours to the theme", () => {
    expect(paint({ fg: 2, bold: true })).toEqual({
      className: "ansi-bold ansi-fg-2",
      variables: null,
    });
  });

  test("makes text legible on any background", () => {
    for (let bg = 0; bg < 256; bg += 1) {
      for (const fg of [undefined, 0, 7, 15, bg]) {
        const { variables } = paint(fg === undefined ? { bg } : { fg, bg });
        const [over, ground] = [variables?.["--ansi-over"] ?? "", variables?.["--ansi-bg"] ?? ""];
        expect(contrast(luminanceOf(over), luminanceOf(ground))).toBeGreaterThanOrEqual(4.5);
      }
    }
  });

  test("swaps the colours of inverse text", () => {
    expect(paint({ fg: 1, inverse: true }).className).toContain("ansi-bg");
    expect(paint({ inverse: true }).className).toBe("ansi-inverse");
  });
});

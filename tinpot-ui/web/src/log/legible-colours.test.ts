import { describe, expect, it } from "vitest";

import { against, contrast, luminanceOf, paint } from "./legible-colours";

describe("against", () => {
  it("makes every colour legible on both surfaces", () => {
    for (const surface of ["#f0f0ec", "#22252a"]) {
      const ground = luminanceOf(surface);
      for (let value = 0; value < 4096; value += 7) {
        const hex = `#${[...value.toString(16).padStart(3, "0")].map((digit) => digit + digit).join("")}`;
        expect(contrast(luminanceOf(against(hex, ground)), ground)).toBeGreaterThanOrEqual(4.5);
      }
    }
  });

  it("leaves a colour that is legible as it is", () => {
    expect(against("#0000aa", luminanceOf("#ffffff"))).toBe("#0000aa");
  });
});

describe("paint", () => {
  it("leaves the sixteen to the theme", () => {
    expect(paint({ fg: 2, bold: true })).toEqual({
      className: "ansi-bold ansi-fg-2",
      variables: null,
    });
  });

  it("makes text on any background legible", () => {
    for (let bg = 0; bg < 256; bg += 1) {
      for (const fg of [undefined, 0, 7, 15, bg]) {
        const { variables } = paint(fg === undefined ? { bg } : { fg, bg });
        const [over, ground] = [variables?.["--ansi-over"] ?? "", variables?.["--ansi-bg"] ?? ""];
        expect(contrast(luminanceOf(over), luminanceOf(ground))).toBeGreaterThanOrEqual(4.5);
      }
    }
  });

  it("turns colours around when inverse", () => {
    expect(paint({ fg: 1, inverse: true }).className).toContain("ansi-bg");
    expect(paint({ inverse: true }).className).toBe("ansi-inverse");
  });
});

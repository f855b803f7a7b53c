import { describe, expect, test } from "vitest";

import { inlineOf, parseMarkdown, safeHref } from "./markdown";

describe("parseMarkdown", () => {
  test("parses headings, paragraphs and rules", () => {
    expect(parseMarkdown("# A ##\n\none\ntwo\n\n---\n")).toEqual([
      { kind: "heading", level: 1, inner: [{ kind: "text", text: "A" }] },
      { kind: "paragraph", inner: [{ kind: "text", text: "one\ntwo" }] },
      { kind: "rule" },
    ]);
  });

  test("parses nested lists and checkboxes", () => {
    const [list] = parseMarkdown("- a\n  1. x\n  2. y\n- [x] b");
    expect(list).toMatchObject({
      kind: "list",
      ordered: false,
      items: [
        {
          checked: null,
          inner: [{ text: "a" }],
          nested: [{ kind: "list", ordered: true, items: [{}, {}] }],
        },
        { checked: true, inner: [{ text: "b" }] },
      ],
    });
  });

  test("parses tables with their alignment", () => {
    const [table] = parseMarkdown("| a | b |\n|:--|--:|\n| 1 | 2 \\| 3 |\n");
    expect(table).toMatchObject({
      kind: "table",
      align: ["left", "right"],
      rows: [[[{ text: "1" }], [{ text: "2 | 3" }]]],
    });
  });

  test("parses code without changes", () => {
    expect(parseMarkdown("```py\n*a*\n<b>\n```\nafter")).toEqual([
      { kind: "code", text: "*a*\n<b>", language: "py" },
      { kind: "paragraph", inner: [{ kind: "text", text: "after" }] },
    ]);
    expect(parseMarkdown("```\nnever closed")).toEqual([
      { kind: "code", text: "never closed", language: "" },
    ]);
  });

  test("treats markup as text", () => {
    expect(parseMarkdown("<script>alert(1)</script>")).toEqual([
      { kind: "paragraph", inner: [{ kind: "text", text: "<script>alert(1)</script>" }] },
    ]);
  });

  // A summary has at most 40 KiB; one of these once took 9 seconds.
  test("takes a time that is linear in the text, whatever it is", () => {
    const parts = [">", "- ", "*", "[", "`", "|", "_", "#", "](", "**a", "_a_", "![", "[a](", "<a"];
    const nasty = [
      ...parts.map((part) => part.repeat(40_000 / part.length)),
      ...parts.map((part) => `${part} x\n`.repeat(40_000 / (part.length + 3))),
      ...parts.map((part) => `${" ".repeat(20_000)}${part}${" ".repeat(20_000)}`),
      `${"|".repeat(20_000)}\n${"|-".repeat(10_000)}|`,
      `${"`".repeat(20_000)}a${"`".repeat(19_999)}`,
      Array.from({ length: 280 }, (_, at) => "`".repeat(at)).join("a"),
    ];
    for (const text of nasty) {
      const began = performance.now();
      parseMarkdown(text);
      const took = performance.now() - began;
      expect(took, `${text.slice(0, 12)} took ${took} ms`).toBeLessThan(1_000);
    }
  });
});

describe("inline", () => {
  test("parses emphasis and code", () => {
    expect(inlineOf("a **b *c*** `d*` snake_case_name")).toMatchObject([
      { text: "a " },
      { kind: "strong" },
      { text: " " },
      { kind: "code", text: "d*" },
      { text: " snake_case_name" },
    ]);
  });

  test("links only to the web", () => {
    expect(inlineOf("[x](https://a.example/b)")).toEqual([
      { kind: "link", href: "https://a.example/b", inner: [{ kind: "text", text: "x" }] },
    ]);
    expect(inlineOf("see https://a.example.")).toMatchObject([
      { text: "see " },
      { kind: "link" },
      { text: "." },
    ]);
    for (const target of [
      "javascript:alert(1)",
      "data:text/html,x",
      "/relative",
      "JaVaScRiPt:x",
      "vbscript:x",
    ]) {
      expect(safeHref(target)).toBeNull();
      expect(inlineOf(`[x](${target})`).every((part) => part.kind === "text")).toBe(true);
    }
  });
});

import { describe, expect, test } from "vitest";
import { NumberText, parseResponse } from "../json/lossless-json";
import { entriesOf, isOpenAtFirst, kindOf, leafText, summaryOf } from "./json-nodes";

describe("parseResponse", () => {
  test("keeps numbers that a double would round", () => {
    const value = parseResponse(
      '{"id": 12345678901234567890, "n": 1234567890123456, "x": 0.1}',
    ) as Record<string, unknown>;
    expect(value.id).toBeInstanceOf(NumberText);
    expect(leafText(value.id)).toBe("12345678901234567890");
    expect(value.n).toBe(1234567890123456);
    expect(value.x).toBe(0.1);
  });

  test("keeps numbers beyond what a double can hold", () => {
    expect(leafText((parseResponse("[1e400]") as unknown[])[0])).toBe("1e400");
  });

  test("parses five megabytes without delay", () => {
    const text = JSON.stringify(
      Array.from({ length: 60_000 }, (_, index) => ({ index, name: "n".repeat(60) })),
    );
    expect(text.length).toBeGreaterThan(5_000_000);
    const began = performance.now();
    const value = parseResponse(text) as unknown[];
    expect(entriesOf(value, 100).length).toBe(100);
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

describe("the nodes of a tree", () => {
  test("have a kind", () => {
    expect([null, undefined, [], {}, "a", 1, true, new NumberText("1")].map(kindOf)).toEqual([
      "null",
      "null",
      "array",
      "object",
      "string",
      "number",
      "boolean",
      "number",
    ]);
  });

  test("summarize closed branches", () => {
    expect(summaryOf([])).toBe("[]");
    expect(summaryOf([1])).toBe("[ 1 entry ]");
    expect(summaryOf({ a: 1, b: 2 })).toBe("{ a, b }");
    expect(summaryOf({ a: 1, b: 2, c: 3, d: 4, e: 5 })).toBe("{ a, b, c, d, … 5 }");
  });

  test("open small branches at first", () => {
    expect(isOpenAtFirst({ a: 1 }, 0)).toBe(true);
    expect(isOpenAtFirst(Array.from({ length: 1_000 }), 0)).toBe(false);
    expect(isOpenAtFirst({ a: 1 }, 5)).toBe(false);
  });

  test("show text with quotes and escapes", () => {
    expect(leafText('a"\n')).toBe('"a\\"\\n"');
    expect(leafText(null)).toBe("null");
  });
});

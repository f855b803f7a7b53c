import { describe, expect, it } from "vitest";
import { NumberText, parseResponse } from "../json/lossless-json";
import { entriesOf, kindOf, leafText, opensItself, summaryOf } from "./json-nodes";

describe("parseResponse", () => {
  it("keeps numbers that a double would round", () => {
    const value = parseResponse(
      '{"id": 12345678901234567890, "n": 1234567890123456, "x": 0.1}',
    ) as Record<string, unknown>;
    expect(value.id).toBeInstanceOf(NumberText);
    expect(leafText(value.id)).toBe("12345678901234567890");
    expect(value.n).toBe(1234567890123456);
    expect(value.x).toBe(0.1);
  });

  it("keeps numbers beyond what a double can hold", () => {
    expect(leafText((parseResponse("[1e400]") as unknown[])[0])).toBe("1e400");
  });

  it("takes no longer than a moment for five megabytes", () => {
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

describe("the tree", () => {
  it("knows kinds", () => {
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

  it("says in a few words what is closed", () => {
    expect(summaryOf([])).toBe("[]");
    expect(summaryOf([1])).toBe("[ 1 entry ]");
    expect(summaryOf({ a: 1, b: 2 })).toBe("{ a, b }");
    expect(summaryOf({ a: 1, b: 2, c: 3, d: 4, e: 5 })).toBe("{ a, b, c, d, … 5 }");
  });

  it("opens small branches by itself and large ones when asked", () => {
    expect(opensItself({ a: 1 }, 0)).toBe(true);
    expect(opensItself(Array.from({ length: 1_000 }), 0)).toBe(false);
    expect(opensItself({ a: 1 }, 5)).toBe(false);
  });

  it("shows text with its quotes and escapes", () => {
    expect(leafText('a"\n')).toBe('"a\\"\\n"');
    expect(leafText(null)).toBe("null");
  });
});

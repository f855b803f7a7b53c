import { expect, test } from "vitest";
import { JsonError, NumberText, numberOf, parseJson, sameJson, writeJson } from "./lossless-json";

const same = (text: string): void => expect(writeJson(parseJson(text))).toBe(text);

test("what is read is written as it was", () => {
  for (const text of [
    "null",
    "true",
    "[]",
    "{}",
    '"a\\nb"',
    '{"a":[1,2,{"b":null}]}',
    "9007199254740993",
    "-0",
    "3.0",
    "1e400",
    "0.10",
    "-12.5e-3",
    '{"__proto__":1,"constructor":2}',
  ])
    same(text);
});

test("numbers that JavaScript can hold are JavaScript's", () => {
  expect(numberOf("12")).toBe(12);
  expect(numberOf("12.0")).toEqual(new NumberText("12.0"));
  expect(parseJson("[9007199254740993]")).toEqual([new NumberText("9007199254740993")]);
});

test("pretty text is read back", () => {
  const value = parseJson('{"a":{"b":[1,[]],"c":{}},"d":"x"}');
  const pretty = writeJson(value, true);
  expect(pretty).toBe(
    '{\n  "a": {\n    "b": [\n      1,\n      []\n    ],\n    "c": {}\n  },\n  "d": "x"\n}',
  );
  expect(sameJson(parseJson(pretty), value)).toBe(true);
});

test.each([
  ["{", "line 1, column 2: a name in double quotes"],
  ['{"a":1,\n "b" 2}', "line 2, column 6: a colon"],
  ['{"a":1,"a":2}', 'line 1, column 8: "a" is given twice'],
  ["[1 2]", "line 1, column 4: a comma or ]"],
  ["01", "line 1, column 1: this is not a number"],
  ["1.", "line 1, column 1: this is not a number"],
  ["None", "line 1, column 1: None is no JSON"],
  ["'a'", "line 1, column 1: a value is missing before"],
  ['"a', "line 1, column 1: this text has no end"],
  ["1 1", "line 1, column 3: there is something after the end"],
  ["", "line 1, column 1: a value is missing: the text ends here"],
  [`"a\u0001"`, "line 1, column 1: this text has an escape or a character"],
])("%j is refused, and said where", (text, message) => {
  expect(() => parseJson(text)).toThrow(JsonError);
  expect(() => parseJson(text)).toThrow(message);
});

test("nesting without end is an error, not the end of the stack", () => {
  expect(() => parseJson("[".repeat(100_000))).toThrow("nested too deep");
});

test("large documents are read quickly", () => {
  const text = JSON.stringify(
    Array.from({ length: 50_000 }, (_, at) => ({ at, name: `name ${at}`, value: at / 7 })),
  );
  const began = performance.now();
  expect((parseJson(text) as unknown[]).length).toBe(50_000);
  expect(performance.now() - began).toBeLessThan(3_000);
});

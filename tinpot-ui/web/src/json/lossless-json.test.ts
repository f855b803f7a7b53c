import { expect, test } from "vitest";
import {
  JsonError,
  NumberText,
  numberOf,
  parseJson,
  parseResponse,
  sameJson,
  writeJson,
} from "./lossless-json";

const same = (text: string): void => expect(writeJson(parseJson(text))).toBe(text);

test("parsed JSON is written unchanged", () => {
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

test("numbers that JavaScript represents exactly are JavaScript numbers", () => {
  expect(numberOf("12")).toBe(12);
  expect(numberOf("12.0")).toEqual(new NumberText("12.0"));
  expect(parseJson("[9007199254740993]")).toEqual([new NumberText("9007199254740993")]);
});

test("indented JSON is parsed again", () => {
  const value = parseJson('{"a":{"b":[1,[]],"c":{}},"d":"x"}');
  const pretty = writeJson(value, true);
  expect(pretty).toBe(
    '{\n  "a": {\n    "b": [\n      1,\n      []\n    ],\n    "c": {}\n  },\n  "d": "x"\n}',
  );
  expect(sameJson(parseJson(pretty), value)).toBe(true);
});

test.each([
  ["{", "line 1, column 2: expected a name in double quotes"],
  ['{"a":1,\n "b" 2}', "line 2, column 6: expected a colon"],
  ['{"a":1,"a":2}', 'line 1, column 8: duplicate name "a"'],
  ["[1 2]", "line 1, column 4: expected a comma or ]"],
  ["01", "line 1, column 1: invalid number"],
  ["1.", "line 1, column 1: invalid number"],
  ["None", "line 1, column 1: None is not JSON"],
  ["'a'", "line 1, column 1: expected a value before"],
  ['"a', "line 1, column 1: unterminated string"],
  ["1 1", "line 1, column 3: unexpected text after the value"],
  ["", "line 1, column 1: expected a value, but the text ends"],
  [`"a\u0001"`, "line 1, column 1: invalid escape or control character"],
])("%j is refused with its position", (text, message) => {
  expect(() => parseJson(text)).toThrow(JsonError);
  expect(() => parseJson(text)).toThrow(message);
});

test("deep nesting is an error, not a stack overflow", () => {
  expect(() => parseJson("[".repeat(100_000))).toThrow("nested too deep");
});

test("large documents are parsed quickly", () => {
  const text = JSON.stringify(
    Array.from({ length: 50_000 }, (_, at) => ({ at, name: `name ${at}`, value: at / 7 })),
  );
  const began = performance.now();
  expect((parseJson(text) as unknown[]).length).toBe(50_000);
  expect(performance.now() - began).toBeLessThan(3_000);
});

test("a response with a long number keeps it, and other numbers stay JavaScript numbers", () => {
  expect(parseResponse('{"timeout":90.0,"delay":1e2,"id":12345678901234567890}')).toEqual({
    timeout: 90,
    delay: 100,
    id: new NumberText("12345678901234567890"),
  });
});

test("a response that only forms refuse is parsed with rounded numbers", () => {
  expect(parseResponse('{"a":1,"a":9007199254740993}')).toEqual({ a: 2 ** 53 });
  const deep = `${"[".repeat(600)}12345678901234567890${"]".repeat(600)}`;
  expect(Array.isArray(parseResponse(deep))).toBe(true);
});

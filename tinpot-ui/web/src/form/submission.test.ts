// The values that a form sends, and bugs known from the forms of other systems.
import { describe, expect, test } from "vitest";
import type { Schema } from "../api/types";
import { shapeOf } from "./shape";
import {
  BYTES,
  DATE_TIME,
  DECIMAL,
  DURATION,
  INTEGER,
  LIMITS,
  NUMBER,
  PAIR,
  SECRET,
  STRING,
  sent,
  text,
  UNION,
} from "./test-schemas";
import { type Node, shown, UNSET } from "./value-tree";

describe("missing, null and blank differ", () => {
  test("where anything fits, JSON is sent as JSON and other text as text", () => {
    const raw = (typed: string): Node => ({ kind: "raw", text: typed });
    expect(sent({}, raw("Ada Lovelace"))).toBe('"Ada Lovelace"');
    expect(sent({}, raw("5"))).toBe("5");
    expect(sent({}, raw("[1]"))).toBe("[1]");
    expect(sent({}, raw('{"a":'))).toContain("x must be JSON");
    expect(sent({}, raw(" "), false)).toBe("nothing");
  });

  test("an untouched field is not sent, with any default", () => {
    for (const schema of [
      { ...STRING, default: "a" },
      { ...INTEGER, default: 7 },
      { type: "boolean", default: false },
      { ...LIMITS, default: { memory: 4 } },
      { type: "array", items: STRING, default: ["a"] },
      { type: ["string", "null"], default: null },
      {},
    ]) {
      expect(sent(schema, UNSET, false)).toBe("nothing");
    }
  });
  test("a default is shown", () => {
    const shape = shapeOf({ ...INTEGER, default: 7 });
    expect(shown(shape, UNSET, false)).toMatchObject({ kind: "text", text: "7" });
  });
  test("a required field without a value is an error", () => {
    for (const schema of [
      STRING,
      INTEGER,
      { type: "boolean" },
      DATE_TIME,
      { type: "array", items: STRING },
      UNION,
      {},
      SECRET,
      BYTES,
    ])
      expect(sent(schema, UNSET)).toBe("x Required");
  });
  test("a required object reports its missing fields, not itself", () =>
    expect(sent(LIMITS, UNSET)).toBe("x.memory Required"));
  test("a required tuple reports its missing items", () =>
    expect(sent(PAIR, UNSET)).toBe("x[0] Required; x[1] Required"));
  test("an object without required fields is sent empty", () =>
    expect(
      sent(
        {
          type: "object",
          properties: { a: { ...INTEGER, default: 1 } },
          additionalProperties: false,
        },
        UNSET,
      ),
    ).toBe("{}"));
  test("a cleared text is sent as empty text", () => {
    expect(sent(STRING, text(""))).toBe('""');
    expect(sent({ ...STRING, default: "a" }, text(""), false)).toBe('""');
    expect(sent({ type: ["string", "null"], default: null }, text(""), false)).toBe('""');
  });
  test("no other cleared field becomes 0, false or empty text", () => {
    for (const schema of [
      INTEGER,
      NUMBER,
      DECIMAL,
      DURATION,
      { type: "string", format: "date" },
      { type: "string", format: "uuid" },
      { type: "string", format: "path" },
      SECRET,
    ]) {
      expect(
        sent(schema, text(" ".repeat(schema === SECRET || schema.format === "path" ? 0 : 1))),
      ).toBe("x Required");
      expect(sent(schema, text(""), false)).toBe("nothing");
    }
    expect(sent(DATE_TIME, { kind: "moment", text: "", zoned: true }, false)).toBe("nothing");
  });
  test("a cleared nullable number without a default is null", () => {
    expect(sent({ type: ["integer", "null"] }, text(""))).toBe("null");
    expect(sent({ type: ["integer", "null"], default: 7 }, text(""), false)).toBe("nothing");
  });
  test("a chosen null is sent even if the default is another value", () =>
    expect(sent({ type: ["integer", "null"], default: 7 }, { kind: "null" }, false)).toBe("null"));
  test("a touched empty list is sent", () => {
    expect(
      sent({ type: "array", items: STRING, default: ["a"] }, { kind: "list", items: [] }, false),
    ).toBe("[]");
    expect(sent({ type: "array", items: STRING }, { kind: "list", items: [] })).toBe("[]");
  });
  test("a new item of a list is an error until it is filled in", () =>
    expect(
      sent({ type: "array", items: INTEGER }, { kind: "list", items: [{ id: 1, node: UNSET }] }),
    ).toBe("x[0] Required"));
});

describe("numbers are sent as numbers", () => {
  test.each([
    ["3", "3"],
    ["-0", "-0"],
    ["007", "7"],
    ["9007199254740993", "9007199254740993"],
    ["+4", "4"],
    [" 5 ", "5"],
  ])("int %j", (typed, json) => expect(sent(INTEGER, text(typed))).toBe(json));
  test.each([
    ["3.0", "must be an integer"],
    ["3,5", "must be an integer"],
    ["1e3", "must be a number"],
    ["abc", "must be a number"],
    ["NaN", "must be a number"],
  ])("int %j is refused", (typed, why) => expect(sent(INTEGER, text(typed))).toBe(`x ${why}`));
  test.each([
    ["3", "3"],
    ["3.50", "3.50"],
    [".5", "0.5"],
    ["5.", "5"],
    ["1e3", "1e3"],
    ["-0.25", "-0.25"],
  ])("float %j", (typed, json) => expect(sent(NUMBER, text(typed))).toBe(json));
  test.each(["1,5", "Infinity", "0x10", "1e999", ".", "--1"])("float %j is refused", (typed) =>
    expect(sent(NUMBER, text(typed))).toMatch(/^x must be a (finite )?number$/),
  );
  test("a decimal is sent as text, exactly as typed", () =>
    expect(sent(DECIMAL, text("0.10"))).toBe('"0.10"'));
  test("an enum sends the value with its type, not its name", () =>
    expect(
      sent(
        { type: "integer", enum: [1, 2], "x-enum-names": ["LOW", "HIGH"] },
        { kind: "choice", index: 1 },
      ),
    ).toBe("2"));
});

describe("bounds", () => {
  test.each<[Schema, Node, string]>([
    [{ ...INTEGER, minimum: 1, maximum: 9 }, text("0"), "x must be at least 1"],
    [{ ...INTEGER, minimum: 1, maximum: 9 }, text("10"), "x must be at most 9"],
    [{ ...NUMBER, exclusiveMinimum: 0 }, text("0"), "x must be greater than 0"],
    [{ ...NUMBER, exclusiveMaximum: 1 }, text("1.0"), "x must be less than 1"],
    [{ ...NUMBER, multipleOf: 0.1 }, text("0.3"), "0.3"],
    [{ ...INTEGER, multipleOf: 5 }, text("7"), "x must be a multiple of 5"],
    [{ ...DECIMAL, maximum: 1 }, text("1.5"), "x must be at most 1"],
    [{ ...STRING, minLength: 2 }, text("a"), "x must have at least 2 characters (has 1)"],
    [{ ...STRING, maxLength: 2 }, text("🎉🎉"), '"🎉🎉"'],
    [{ ...STRING, maxLength: 2 }, text("abc"), "x must have at most 2 characters (has 3)"],
    [{ ...STRING, pattern: "^[a-z]+$" }, text("A"), "x must match the pattern ^[a-z]+$"],
    [
      { type: "string", format: "date", formatMinimum: "2026-01-01" },
      text("2025-12-31"),
      "x must not be before 2026-01-01",
    ],
    [{ ...DURATION, formatMaximum: "PT1H" }, text("2h"), "x must be at most PT1H"],
    [
      { type: "array", items: STRING, minItems: 1 },
      { kind: "list", items: [] },
      "x must have at least 1 item (has 0)",
    ],
    [
      { type: "array", items: STRING, uniqueItems: true },
      {
        kind: "list",
        items: [
          { id: 1, node: text("a") },
          { id: 2, node: text("a") },
        ],
      },
      "x[1] repeats item 1: duplicates are not allowed",
    ],
  ])("%j", (schema, node, result) => expect(sent(schema, node)).toBe(result));
});

describe("dates and times", () => {
  test("a date is sent as picked, without conversion between zones", () =>
    expect(sent({ type: "string", format: "date" }, text("2026-01-01"))).toBe('"2026-01-01"'));
  test("a time is sent with the offset of its day", () => {
    expect(sent(DATE_TIME, { kind: "moment", text: "2026-01-31T14:30", zoned: true })).toBe(
      '"2026-01-31T14:30+01:00"',
    );
    expect(sent(DATE_TIME, { kind: "moment", text: "2026-07-31T14:30", zoned: true })).toBe(
      '"2026-07-31T14:30+02:00"',
    );
  });
  test("a time without a zone is sent without an offset", () =>
    expect(sent(DATE_TIME, { kind: "moment", text: "2026-01-31T14:30", zoned: false })).toBe(
      '"2026-01-31T14:30"',
    ));
  test("a time that the clock skips is an error", () =>
    expect(sent(DATE_TIME, { kind: "moment", text: "2026-03-29T02:30", zoned: true })).toContain(
      "does not exist in your time zone",
    ));
  test("a default without an offset is shown without one", () => {
    expect(
      shown(shapeOf({ ...DATE_TIME, default: "2026-01-31T14:30" }), UNSET, false),
    ).toMatchObject({ zoned: false, text: "2026-01-31T14:30" });
    expect(
      shown(shapeOf({ ...DATE_TIME, default: "2026-01-31T14:30Z" }), UNSET, false),
    ).toMatchObject({ zoned: true, text: "2026-01-31T15:30" });
  });
  test("a duration is sent in ISO 8601", () =>
    expect(sent(DURATION, text("1h 30m"))).toBe('"PT1H30M"'));
});

describe("open objects", () => {
  const dict: Schema = {
    type: "object",
    additionalProperties: INTEGER,
    propertyNames: { enum: ["a", "b"] },
  };
  const row = (name: string, typed: string, id: number) => ({ id, name, node: text(typed) });
  const rows = (...list: ReturnType<typeof row>[]): Node => ({
    kind: "object",
    fields: {},
    rows: list,
  });
  test("names and values are sent", () =>
    expect(sent(dict, rows(row("a", "1", 1), row("b", "2", 2)))).toBe('{"a":1,"b":2}'));
  test("duplicate names and unknown names are errors", () => {
    expect(sent(dict, rows(row("a", "1", 1), row("a", "2", 2)))).toBe("x.a repeats a name");
    expect(sent(dict, rows(row("c", "1", 1)))).toBe('x.c the name must be one of "a", "b"');
  });
  test("a row without a name is incomplete", () =>
    expect(
      sent(dict, { kind: "object", fields: {}, rows: [{ id: 1, name: "", node: UNSET }] }),
    ).toBe("x. Name required"));
});

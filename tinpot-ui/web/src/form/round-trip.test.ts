// The rows of the table in docs/types.md: every value survives the form and its JSON.
import { describe, expect, test } from "vitest";
import type { Schema } from "../api/types";
import { type JsonObject, parseJson, writeJson } from "../json/lossless-json";
import { startState, toFormView, toJsonView, typeText } from "./form-state";
import { writeForm } from "./submission";
import {
  BYTES,
  DATE_TIME,
  DECIMAL,
  DURATION,
  INTEGER,
  LIMITS,
  NUMBER,
  one,
  PAIR,
  SECRET,
  STRING,
  UNION,
} from "./test-schemas";
import { fromJson, type Node, UNSET } from "./value-tree";

describe("every value of every type passes through the form unchanged", () => {
  const rows: [string, Schema, string[]][] = [
    ["str", STRING, ['"a"', '""', '"null"', '"two\\nlines"', '"3"']],
    ["int", INTEGER, ["0", "-7", "9007199254740993", "18446744073709551615"]],
    ["float", NUMBER, ["0.5", "3", "3.0", "1e21", "0.10"]],
    ["bool", { type: "boolean" }, ["true", "false"]],
    ["None", { type: "null" }, ["null"]],
    ["Any", {}, ['{"a":[1,null]}', "null", '""', "3.0"]],
    ["Literal", { type: ["string", "integer"], enum: ["a", 1] }, ['"a"', "1"]],
    [
      "Enum",
      { type: "integer", enum: [1, 2], "x-enum-names": ["LOW", "HIGH"], title: "Level" },
      ["1", "2"],
    ],
    ["Optional enum", { type: ["string", "null"], enum: ["a", null] }, ['"a"', "null"]],
    ["Optional", { type: ["integer", "null"] }, ["null", "4"]],
    ["Union of types", { type: ["string", "integer", "null"] }, ['"4"', "4", "null"]],
    ["Union", UNION, ['{"memory":1}', '["a"]', "5"]],
    [
      "Optional union",
      { anyOf: [LIMITS, INTEGER, { type: "null" }] },
      ["null", "5", '{"cpu":2,"memory":1}'],
    ],
    ["list", { type: "array", items: INTEGER }, ["[]", "[1,2]"]],
    ["list of lists", { type: "array", items: { type: "array", items: STRING } }, ['[["a"],[]]']],
    ["set", { type: "array", items: STRING, uniqueItems: true }, ['["a","b"]']],
    ["tuple", PAIR, ['["a",1]']],
    [
      "NamedTuple",
      {
        ...PAIR,
        prefixItems: [
          { ...STRING, title: "host" },
          { ...INTEGER, title: "port", default: 80 },
        ],
        minItems: 1,
      },
      ['["a"]', '["a",1]'],
    ],
    ["dict", { type: "object", additionalProperties: INTEGER }, ["{}", '{"a":1,"b c":2}']],
    [
      "dict with keys",
      { type: "object", additionalProperties: INTEGER, propertyNames: { enum: ["a", "b"] } },
      ['{"b":1}'],
    ],
    ["date", { type: "string", format: "date" }, ['"2026-01-31"']],
    ["time", { type: "string", format: "time" }, ['"14:30"', '"14:30:00.5+01:00"']],
    [
      "datetime",
      DATE_TIME,
      ['"2026-01-31T14:30"', '"2026-01-31T14:30:00Z"', '"2026-01-31 14:30:00.123456+05:30"'],
    ],
    ["timedelta", DURATION, ['"P1DT2H30M"', "90", '"PT90M"', "1.5"]],
    ["Decimal", DECIMAL, ['"0.10"', "0.10", "3"]],
    ["UUID", { type: "string", format: "uuid" }, ['"12345678-1234-5678-1234-567812345678"']],
    ["Path", { type: "string", format: "path", minLength: 1 }, ['"/var/log"']],
    ["bytes", BYTES, ['""', '"aGk="', '"/w=="']],
    ["Secret", SECRET, ['"hunter2"']],
    ["dataclass", LIMITS, ['{"cpu":0.5,"memory":1}', '{"memory":1}']],
    ["Optional dataclass", { ...LIMITS, type: ["object", "null"] }, ["null", '{"memory":1}']],
  ];
  for (const [name, schema, values] of rows) {
    test.each(values)(`${name}: %s`, (json) => {
      const shape = one(schema);
      const document = parseJson(`{"x":${json}}`) as JsonObject;
      const { value, problems } = writeForm(shape, fromJson(shape, document));
      expect(problems).toEqual([]);
      expect(writeJson(value)).toBe(`{"x":${json}}`);
      // The JSON view gives the same value when it is typed there.
      const typed = typeText(
        shape,
        toJsonView(shape, startState(shape)),
        writeJson(document, true),
      );
      expect(writeJson(writeForm(shape, toFormView(typed).node).value)).toBe(`{"x":${json}}`);
    });
  }
});

describe("unions", () => {
  const shape = one(UNION);
  const memberOf = (json: string): Node =>
    (fromJson(shape, parseJson(`{"x":${json}}`)) as Extract<Node, { kind: "object" }>).fields.x ??
    UNSET;
  test("the first member that matches the value is shown", () => {
    expect(memberOf('{"memory":1}')).toMatchObject({ kind: "member", index: 0 });
    expect(memberOf('["a"]')).toMatchObject({ kind: "member", index: 1 });
    expect(memberOf("5")).toMatchObject({ kind: "member", index: 2 });
  });
  test("a value that matches no member stays JSON", () =>
    expect(memberOf('{"colour":1}')).toMatchObject({ kind: "raw" }));
  test("required fields distinguish members", () => {
    const two: Schema = {
      anyOf: [
        {
          type: "object",
          properties: { kind: { type: "string", enum: ["a"] } },
          required: ["kind"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: { kind: { type: "string", enum: ["b"] } },
          required: ["kind"],
          additionalProperties: false,
        },
      ],
    };
    const node = fromJson(one(two), parseJson('{"x":{"kind":"b"}}')) as Extract<
      Node,
      { kind: "object" }
    >;
    expect(node.fields.x).toMatchObject({ kind: "member", index: 1 });
  });
});

// The rows of the table in docs/types.md, and bugs known from the forms of other systems.
import { describe, expect, test } from "vitest";
import type { Schema } from "../api/types";
import { type JsonObject, parseJson, writeJson } from "../json/lossless-json";
import {
  discardText,
  problemsOf,
  startState,
  stillFitting,
  toFormView,
  toJsonView,
  toRemember,
  typeText,
  withoutRefusals,
} from "./form-state";
import { shapeOf } from "./shape";
import { writeForm } from "./submission";
import { fromJson, type Node, shown, UNSET } from "./value-tree";

/** An action with one parameter `x`. */
function one(x: Schema, required = true) {
  return shapeOf({
    type: "object",
    properties: { x },
    ...(required ? { required: ["x"] } : {}),
    additionalProperties: false,
  });
}

/** Returns the JSON that is sent for a field `x`, or its errors. */
function sent(x: Schema, node: Node, required = true): string {
  const { value, problems } = writeForm(one(x, required), {
    kind: "object",
    fields: { x: node },
    rows: [],
  });
  if (problems.length > 0)
    return problems.map(({ path, message }) => `${path} ${message}`).join("; ");
  return "x" in value ? writeJson(value.x ?? null) : "nothing";
}

const text = (typed: string): Node => ({ kind: "text", text: typed });

const STRING: Schema = { type: "string" };
const INTEGER: Schema = { type: "integer" };
const NUMBER: Schema = { type: "number" };
const DATE_TIME: Schema = { type: "string", format: "date-time" };
const DURATION: Schema = { type: ["string", "number"], format: "duration" };
const DECIMAL: Schema = { type: ["string", "number"], format: "decimal" };
const BYTES: Schema = { type: "string", format: "binary", contentEncoding: "base64" };
const SECRET: Schema = { type: "string", format: "password", writeOnly: true };
const LIMITS: Schema = {
  type: "object",
  title: "Limits",
  properties: { cpu: { type: "number", default: 1 }, memory: INTEGER },
  required: ["memory"],
  additionalProperties: false,
};
const PAIR: Schema = {
  type: "array",
  prefixItems: [STRING, INTEGER],
  items: false,
  minItems: 2,
  maxItems: 2,
};
const UNION: Schema = { anyOf: [LIMITS, { type: "array", items: STRING }, INTEGER] };

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

describe("missing, null and blank differ", () => {
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
    [{ ...NUMBER, exclusiveMinimum: 0 }, text("0"), "x must be more than 0"],
    [{ ...NUMBER, exclusiveMaximum: 1 }, text("1.0"), "x must be less than 1"],
    [{ ...NUMBER, multipleOf: 0.1 }, text("0.3"), "0.3"],
    [{ ...INTEGER, multipleOf: 5 }, text("7"), "x must be a multiple of 5"],
    [{ ...DECIMAL, maximum: 1 }, text("1.5"), "x must be at most 1"],
    [{ ...STRING, minLength: 2 }, text("a"), "x must have at least 2 characters (has 1)"],
    [{ ...STRING, maxLength: 2 }, text("🎉🎉"), '"🎉🎉"'],
    [{ ...STRING, maxLength: 2 }, text("abc"), "x must have at most 2 characters (has 3)"],
    [{ ...STRING, pattern: "^[a-z]+$" }, text("A"), "x must match ^[a-z]+$"],
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
    expect(sent(dict, rows(row("a", "1", 1), row("a", "2", 2)))).toBe("x.a Duplicate name");
    expect(sent(dict, rows(row("c", "1", 1)))).toBe('x.c the name must be one of "a", "b"');
  });
  test("a row without a name is incomplete", () =>
    expect(
      sent(dict, { kind: "object", fields: {}, rows: [{ id: 1, name: "", node: UNSET }] }),
    ).toBe("x. Name required"));
});

describe("form and JSON are two views of one document", () => {
  const shape = shapeOf({
    type: "object",
    properties: { host: STRING, days: { ...INTEGER, default: 7 }, password: SECRET },
    required: ["host"],
    additionalProperties: false,
  });
  test("JSON shows exactly the values of the form", () => {
    expect(toJsonView(shape, startState(shape, { host: "a" })).text).toBe('{\n  "host": "a"\n}');
  });
  test("typed JSON appears in the form at once", () => {
    const state = typeText(shape, toJsonView(shape, startState(shape)), '{"host":"b","days":3}');
    expect(toFormView(state).view).toBe("form");
    expect(writeJson(writeForm(shape, state.node).value)).toBe('{"host":"b","days":3}');
  });
  test("invalid JSON must be fixed or discarded to return to the form", () => {
    const broken = typeText(shape, toJsonView(shape, startState(shape, { host: "a" })), '{"host":');
    expect(broken.textProblem).toContain("line 1");
    expect(toFormView(broken).view).toBe("json");
    const back = discardText(shape, broken);
    expect([back.view, writeJson(writeForm(shape, back.node).value)]).toEqual([
      "form",
      '{"host":"a"}',
    ]);
  });
  test("a value that the form cannot show stays, with an error at its field", () => {
    const text = '{"host":[1],"days":"7","colour":{"a":3.0}}';
    const state = typeText(shape, toJsonView(shape, startState(shape)), text);
    const { value, problems } = writeForm(shape, state.node);
    expect(writeJson(value)).toBe(text);
    expect(problems).toEqual([{ path: "colour", message: "Unknown name: remove it" }]);
  });
  test("JSON masks secrets without losing them", () => {
    const state = toJsonView(shape, startState(shape, { host: "a", password: "hunter2" }));
    expect(state.text).not.toContain("hunter2");
    const edited = typeText(shape, state, state.text.replace('"a"', '"b"'));
    expect(writeJson(writeForm(shape, edited.node).value)).toBe(
      '{"host":"b","password":"hunter2"}',
    );
  });
  test("parameters that are not an object are an error", () =>
    expect(typeText(shape, startState(shape), "[1]").textProblem).toContain("object"));
});

describe("remembered values", () => {
  const shape = shapeOf({
    type: "object",
    properties: {
      host: STRING,
      days: INTEGER,
      password: SECRET,
      keys: { type: "array", items: SECRET },
    },
    required: [],
    additionalProperties: false,
  });
  test("secrets are not remembered", () => {
    const node = fromJson(shape, { host: "a", password: "hunter2", keys: ["k1"] });
    expect(toRemember(shape, node)).toBe('{"host":"a"}');
  });
  test("values that no longer fit are dropped", () => {
    const old = shapeOf({
      type: "object",
      properties: { host: INTEGER, days: INTEGER },
      additionalProperties: false,
    });
    expect(stillFitting(old, { host: "a", days: 3, colour: 1 })).toEqual({ days: 3 });
  });
  test("values that are too large are not remembered", () =>
    expect(toRemember(shape, fromJson(shape, { host: "a".repeat(60_000) }))).toBeNull());
  test("a recorded secret is left out of the form", () => {
    expect(writeJson(writeForm(shape, fromJson(shape, { host: "a", password: "***" })).value)).toBe(
      '{"host":"a"}',
    );
  });
});

describe("errors of the server", () => {
  const shape = shapeOf({
    type: "object",
    properties: { host: STRING, limits: LIMITS, hosts: { type: "array", items: STRING } },
    required: [],
    additionalProperties: false,
  });
  const state = {
    ...startState(shape, { host: "a", limits: { memory: 1 }, hosts: ["a", "b"] }),
    refused: [
      { path: "limits.memory", message: "too small" },
      { path: "hosts[1]", message: "unknown" },
      { path: "limits.gpu", message: "is unknown" },
      { path: "colour", message: "is unknown" },
    ],
  };
  test("are shown at the field, or at the one around it", () => {
    const problems = problemsOf(shape, state, []);
    expect(problems.get("limits.memory")?.message).toBe("too small");
    expect(problems.get("hosts[1]")?.message).toBe("unknown");
    expect(problems.get("limits")?.message).toBe("limits.gpu: is unknown");
    expect(problems.get("")?.message).toBe("colour: is unknown");
  });
  test("disappear when the field changes, and only then", () => {
    expect(withoutRefusals(state.refused, "host")).toBe(state.refused);
    expect(withoutRefusals(state.refused, "hosts").map((left) => left.path)).toEqual([
      "limits.memory",
      "limits.gpu",
      "colour",
    ]);
    expect(withoutRefusals(state.refused, "hosts[1]").map((left) => left.path)).toEqual([
      "limits.memory",
      "limits.gpu",
      "colour",
    ]);
  });
});

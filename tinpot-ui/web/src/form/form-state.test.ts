import { describe, expect, test } from "vitest";
import { writeJson } from "../json/lossless-json";
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
import { INTEGER, LIMITS, SECRET, STRING } from "./test-schemas";
import { fromJson } from "./value-tree";

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
    expect(problems).toEqual([
      { path: "colour", message: "is not a parameter; use host, days, password" },
    ]);
  });
  test("parameters with the names of what every object has are parameters like others", () => {
    const names = ["constructor", "toString", "valueOf", "hasOwnProperty", "__proto__"];
    const properties = Object.fromEntries(names.map((name) => [name, STRING]));
    const odd = shapeOf({ type: "object", properties, additionalProperties: false });
    const empty = startState(odd);
    expect(toJsonView(odd, empty).text).toBe("{}");
    expect(problemsOf(odd, empty, []).size).toBe(0);
    expect(writeJson(stillFitting(odd, {}))).toBe("{}");
    const text = `{${names.map((name) => `"${name}":"x"`).join(",")}}`;
    const state = typeText(odd, toJsonView(odd, empty), text);
    expect(toFormView(state).view).toBe("form");
    const { value, problems } = writeForm(odd, state.node);
    expect([writeJson(value), problems]).toEqual([text, []]);
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
      { path: "limits.gpu", message: "is not a field; use cpu, memory" },
      { path: "colour", message: "is not a parameter; use host, limits, hosts" },
    ],
  };
  test("are shown at the field, or at the one around it", () => {
    const problems = problemsOf(shape, state, []);
    expect(problems.get("limits.memory")?.message).toBe("too small");
    expect(problems.get("hosts[1]")?.message).toBe("unknown");
    expect(problems.get("limits")?.message).toBe("limits.gpu: is not a field; use cpu, memory");
    expect(problems.get("")?.message).toBe("colour: is not a parameter; use host, limits, hosts");
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

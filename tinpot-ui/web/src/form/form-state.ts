// The state of a form: one tree. The JSON view is written from it, and read back into it with each valid keystroke.
import type { ActionView, Violation } from "../api/types";
import {
  isObject,
  type Json,
  JsonError,
  type JsonObject,
  parseJson,
  writeJson,
} from "../json/lossless-json";
import { drawnPaths, nearestPath } from "./form-context";
import { matchesShape } from "./matches-shape";
import type { Shape } from "./shape";
import { type FieldProblem, writeForm } from "./submission";
import { fromJson, type Node, type Secrets } from "./value-tree";

export interface FormState {
  node: Node;
  view: "form" | "json";
  /** What is typed in the JSON view. */
  text: string;
  /** Why the text is no document; the tree is then of the last one that was. */
  textProblem: string | null;
  /** The secrets that `***` in the text stands for. */
  secrets: Secrets;
  /** It was sent once, or tried to be: now everything missing is said. */
  tried: boolean;
  /** What the server said, without what has been changed since. */
  refused: readonly Violation[];
}

export function startState(shape: Shape, value: JsonObject = {}): FormState {
  return {
    node: fromJson(shape, value),
    view: "form",
    text: "",
    textProblem: null,
    secrets: new Map(),
    tried: false,
    refused: [],
  };
}

export function toJsonView(shape: Shape, state: FormState): FormState {
  const { value, secrets } = writeForm(shape, state.node, "mask");
  return { ...state, view: "json", text: writeJson(value, true), textProblem: null, secrets };
}

/** Back to the fields; not while the text is no document. */
export function toFormView(state: FormState): FormState {
  return state.textProblem === null ? { ...state, view: "form" } : state;
}

/** Throws away a text that is no document. */
export function discardText(shape: Shape, state: FormState): FormState {
  return { ...toJsonView(shape, state), view: "form" };
}

export function typeText(shape: Shape, state: FormState, text: string): FormState {
  let value: Json;
  try {
    value = parseJson(text);
  } catch (error) {
    return {
      ...state,
      text,
      textProblem: error instanceof JsonError ? error.message : String(error),
      refused: [],
    };
  }
  if (!isObject(value))
    return { ...state, text, textProblem: "parameters are an object: { … }", refused: [] };
  return {
    ...state,
    text,
    textProblem: null,
    node: fromJson(shape, value, state.secrets),
    refused: [],
  };
}

export interface Problem {
  message: string;
  soft: boolean;
}

/** What is wrong, by the path of the field that shows it. `""` is the form as a whole. */
export function problemsOf(
  shape: Shape,
  state: FormState,
  local: readonly FieldProblem[],
): Map<string, Problem> {
  const problems = new Map<string, Problem>();
  const drawn = drawnPaths(shape, state.node);
  const add = (path: string, message: string, soft: boolean): void => {
    const place = nearestPath(drawn, path);
    const text = place === path || path === "" ? message : `${path}: ${message}`;
    const before = problems.get(place);
    problems.set(
      place,
      before === undefined
        ? { message: text, soft }
        : { message: `${before.message}; ${text}`, soft: before.soft && soft },
    );
  };
  for (const one of local) {
    if (one.missing === true && !state.tried) continue;
    // While typing, what is not finished is not wrong; a fraction never becomes a whole number.
    add(one.path, one.message, !state.tried && one.message !== "must be a whole number");
  }
  for (const one of state.refused)
    if (!local.some((own) => own.path === one.path)) add(one.path, one.message, false);
  return problems;
}

/** Takes out what the server said of a field that has been changed since, or of what is in it or around it. */
export function withoutRefusals(refused: readonly Violation[], path: string): readonly Violation[] {
  const inside = (inner: string, outer: string): boolean =>
    inner === outer || (inner.startsWith(outer) && /^[.[]/.test(inner.slice(outer.length)));
  const left = refused.filter((one) => !inside(one.path, path) && !inside(path, one.path));
  return left.length === refused.length ? refused : left;
}

const KEPT_CHARS_MAX = 50_000;

/** What is remembered of a form: no secrets. Null when it is too much. */
export function toRemember(shape: Shape, node: Node): string | null {
  const text = writeJson(writeForm(shape, node, "omit").value);
  return text.length > KEPT_CHARS_MAX ? null : text;
}

/** Values from before, as far as they still fit the action: its signature may have changed since. */
export function stillFitting(shape: Shape, values: JsonObject): JsonObject {
  const kept: JsonObject = {};
  for (const field of shape.fields) {
    const value = values[field.name];
    if (value !== undefined && matchesShape(field.shape, value)) kept[field.name] = value;
  }
  if (shape.extra !== null) {
    for (const [name, value] of Object.entries(values)) {
      if (!shape.fields.some((field) => field.name === name) && matchesShape(shape.extra, value))
        kept[name] = value;
    }
  }
  return kept;
}

export function parseAction(text: string): ActionView {
  return parseJson(text) as unknown as ActionView;
}

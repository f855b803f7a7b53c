// The state of a form: one tree. The JSON view is written from it, and parsed into it again after
// each keystroke that leaves valid JSON.
import type { ActionView, Violation } from "../api/types";
import {
  isObject,
  type Json,
  JsonError,
  type JsonObject,
  parseJson,
  writeJson,
} from "../json/lossless-json";
import { nearestPath, shownPaths } from "./form-context";
import { matchesShape } from "./matches-shape";
import type { Shape } from "./shape";
import { type FieldProblem, writeForm } from "./submission";
import { fromJson, type Node, type Secrets } from "./value-tree";

export interface FormState {
  node: Node;
  view: "form" | "json";
  /** The text of the JSON view. */
  text: string;
  /** The syntax error of the text; the tree is then that of the last valid text. */
  textProblem: string | null;
  /** The secrets that `***` in the text stands for. */
  secrets: Secrets;
  /** If true, the form was submitted once, and missing values are errors. */
  tried: boolean;
  /** The paths of the fields that the user has changed. */
  changed: ReadonlySet<string>;
  /** The errors of the server, without those of fields that changed since. */
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
    changed: new Set(),
    refused: [],
  };
}

/** Records that the user has changed a field. */
export function touch(state: FormState, path: string): FormState {
  const changed = state.changed.has(path) ? state.changed : new Set([...state.changed, path]);
  return { ...state, changed, refused: withoutRefusals(state.refused, path) };
}

export function toJsonView(shape: Shape, state: FormState): FormState {
  const { value, secrets } = writeForm(shape, state.node, "mask");
  return { ...state, view: "json", text: writeJson(value, true), textProblem: null, secrets };
}

/** Shows the fields, unless the text is invalid. */
export function toFormView(state: FormState): FormState {
  return state.textProblem === null ? { ...state, view: "form" } : state;
}

/** Discards an invalid text and shows the fields. */
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
    return { ...state, text, textProblem: "Parameters must be a JSON object: { … }", refused: [] };
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

/** Returns the errors by the path of the field that shows them; `""` is the whole form. */
export function problemsOf(
  shape: Shape,
  state: FormState,
  local: readonly FieldProblem[],
): Map<string, Problem> {
  const problems = new Map<string, Problem>();
  const shownFields = shownPaths(shape, state.node);
  const add = (path: string, message: string, soft: boolean): void => {
    const place = nearestPath(shownFields, path);
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
    // An unfinished value is not an error yet, but a fraction never becomes an integer.
    add(one.path, one.message, !state.tried && one.message !== "must be an integer");
  }
  for (const one of state.refused)
    if (!local.some((own) => own.path === one.path)) add(one.path, one.message, false);
  return problems;
}

/** Removes the errors of a changed field, of the fields inside it, and of those around it. */
export function withoutRefusals(refused: readonly Violation[], path: string): readonly Violation[] {
  const inside = (inner: string, outer: string): boolean =>
    inner === outer || (inner.startsWith(outer) && /^[.[]/.test(inner.slice(outer.length)));
  const left = refused.filter((one) => !inside(one.path, path) && !inside(path, one.path));
  return left.length === refused.length ? refused : left;
}

const KEPT_CHARS_MAX = 50_000;

/** Returns the values to remember, without secrets; null if they are too large. */
export function toRemember(shape: Shape, node: Node): string | null {
  const text = writeJson(writeForm(shape, node, "omit").value);
  return text.length > KEPT_CHARS_MAX ? null : text;
}

/** Returns the remembered values that still fit the action, whose signature may have changed. */
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

/** Parses an action. Its schema keeps the text of numbers; its options are JavaScript numbers. */
export function parseAction(text: string): ActionView {
  const action = parseJson(text) as unknown as ActionView;
  const { timeout, concurrency } = action;
  return {
    ...action,
    timeout: timeout === null ? null : Number(timeout),
    concurrency: concurrency === null ? null : Number(concurrency),
    priority: Number(action.priority),
    retries: Number(action.retries),
  };
}

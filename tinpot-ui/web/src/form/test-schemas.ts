// The schemas and helpers that the tests of forms share.
import type { Schema } from "../api/types";
import { writeJson } from "../json/lossless-json";
import { shapeOf } from "./shape";
import { writeForm } from "./submission";
import type { Node } from "./value-tree";

/** An action with one parameter `x`. */
export function one(x: Schema, required = true) {
  return shapeOf({
    type: "object",
    properties: { x },
    ...(required ? { required: ["x"] } : {}),
    additionalProperties: false,
  });
}

/** Returns the JSON that is sent for a field `x`, or its errors. */
export function sent(x: Schema, node: Node, required = true): string {
  const { value, problems } = writeForm(one(x, required), {
    kind: "object",
    fields: { x: node },
    rows: [],
  });
  if (problems.length > 0)
    return problems.map(({ path, message }) => `${path} ${message}`).join("; ");
  return "x" in value ? writeJson(value.x ?? null) : "nothing";
}

export const text = (typed: string): Node => ({ kind: "text", text: typed });

export const STRING: Schema = { type: "string" };
export const INTEGER: Schema = { type: "integer" };
export const NUMBER: Schema = { type: "number" };
export const DATE_TIME: Schema = { type: "string", format: "date-time" };
export const DURATION: Schema = { type: ["string", "number"], format: "duration" };
export const DECIMAL: Schema = { type: ["string", "number"], format: "decimal" };
export const BYTES: Schema = { type: "string", format: "binary", contentEncoding: "base64" };
export const SECRET: Schema = { type: "string", format: "password", writeOnly: true };
export const LIMITS: Schema = {
  type: "object",
  title: "Limits",
  properties: { cpu: { type: "number", default: 1 }, memory: INTEGER },
  required: ["memory"],
  additionalProperties: false,
};
export const PAIR: Schema = {
  type: "array",
  prefixItems: [STRING, INTEGER],
  items: false,
  minItems: 2,
  maxItems: 2,
};
export const UNION: Schema = { anyOf: [LIMITS, { type: "array", items: STRING }, INTEGER] };

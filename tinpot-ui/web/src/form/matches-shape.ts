// Matching of values with shapes, which selects the member of a union that shows a value. The
// server decides if a value is valid.

import { isObject, type Json, NumberText, sameJson } from "../json/lossless-json";
import { formatProblem } from "./formats";
import type { Shape } from "./shape";

export function isNumber(value: Json): value is number | NumberText {
  return typeof value === "number" || value instanceof NumberText;
}

export function numberText(value: number | NumberText): string {
  return value instanceof NumberText ? value.text : String(value);
}

/** Returns true if the control of a shape can show a value; values inside it may be invalid. */
export function canShow(shape: Shape, value: Json): boolean {
  if (value === null) return shape.nullable || shape.kind === "null" || shape.kind === "any";
  switch (shape.kind) {
    case "any":
      return true;
    case "null":
      return false;
    case "string":
    case "password":
    case "uuid":
    case "path":
      return typeof value === "string";
    case "integer":
    case "number":
      return isNumber(value);
    case "boolean":
      return typeof value === "boolean";
    case "date":
    case "time":
    case "date-time":
    case "binary":
      return typeof value === "string" && formatProblem(shape.kind, value) === null;
    case "duration":
    case "decimal":
      return (
        isNumber(value) || (typeof value === "string" && formatProblem(shape.kind, value) === null)
      );
    case "enum":
      return shape.choices.some((choice) => sameJson(choice.value, value));
    case "array":
      return Array.isArray(value);
    case "tuple":
      return Array.isArray(value) && value.length <= shape.prefix.length;
    case "object":
      return isObject(value);
    case "union":
      return shape.members.some((member) => matchesShape(member, value));
  }
}

/** Returns true if a value has a shape at every level, apart from its bounds. */
export function matchesShape(shape: Shape, value: Json): boolean {
  if (!canShow(shape, value)) return false;
  if (value === null) return true;
  switch (shape.kind) {
    case "integer":
      return isNumber(value) && /^-?\d+$/.test(numberText(value));
    case "uuid":
    case "path":
      return typeof value === "string" && formatProblem(shape.kind, value) === null;
    case "array":
      return (
        Array.isArray(value) &&
        value.every((item) => shape.items === null || matchesShape(shape.items, item))
      );
    case "tuple":
      return (
        Array.isArray(value) &&
        value.length >= (shape.schema.minItems ?? shape.prefix.length) &&
        value.every(
          (item, at) => shape.prefix[at] !== undefined && matchesShape(shape.prefix[at], item),
        )
      );
    case "object": {
      if (!isObject(value)) return false;
      const known = new Map(shape.fields.map((field) => [field.name, field]));
      return (
        shape.fields.every((field) => !field.required || field.name in value) &&
        Object.entries(value).every(([name, inner]) => {
          const own = known.get(name)?.shape ?? shape.extra;
          return own !== null && matchesShape(own, inner);
        })
      );
    }
    default:
      return true;
  }
}

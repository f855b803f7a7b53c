// The shape that a form gives to a schema. Schemas are in the dialect of `docs/types.md`: without
// references, and with `null` in `type`.
import type { Schema } from "../api/types";
import type { Json } from "../json/lossless-json";

export type Kind =
  | "string"
  | "integer"
  | "number"
  | "boolean"
  | "null"
  | "date"
  | "time"
  | "date-time"
  | "duration"
  | "decimal"
  | "uuid"
  | "path"
  | "binary"
  | "password"
  | "enum"
  | "array"
  | "tuple"
  | "object"
  | "union"
  | "any";

export interface Choice {
  value: Json;
  name: string;
}

export interface Field {
  name: string;
  shape: Shape;
  required: boolean;
}

export interface Shape {
  kind: Kind;
  schema: Schema;
  nullable: boolean;
  /** The type in words: `text`, `list of numbers`, or the title. */
  label: string;
  hasDefault: boolean;
  default: Json;
  /** The values of an `enum`, without null. */
  choices: Choice[];
  /** The shape of the items of an `array`. */
  items: Shape | null;
  /** The shapes of the items of a `tuple`. */
  prefix: Shape[];
  /** The named fields of an `object`. */
  fields: Field[];
  /** The shape of the other entries of an object, or null if it allows none. */
  extra: Shape | null;
  /** The shapes of a `union`. */
  members: Shape[];
}

const FORMATS = new Set<string>([
  "date",
  "time",
  "date-time",
  "duration",
  "decimal",
  "uuid",
  "path",
  "binary",
  "password",
]);

const LABELS: Record<Kind, string> = {
  string: "text",
  integer: "integer",
  number: "number",
  boolean: "yes or no",
  null: "no value",
  date: "date",
  time: "time",
  "date-time": "date and time",
  duration: "duration",
  decimal: "decimal",
  uuid: "UUID",
  path: "path on the worker",
  binary: "file or text",
  password: "secret",
  enum: "choice",
  array: "list",
  tuple: "tuple",
  object: "object",
  union: "one of several",
  any: "any JSON",
};

export function shapeOf(schema: Schema): Shape {
  const types =
    schema.type === undefined ? [] : Array.isArray(schema.type) ? schema.type : [schema.type];
  const plain = types.filter((type) => type !== "null");
  const shape: Shape = {
    kind: "any",
    schema,
    nullable: types.includes("null") && types.length > 1,
    label: "",
    hasDefault: Object.hasOwn(schema, "default"),
    default: (schema.default ?? null) as Json,
    choices: [],
    items: null,
    prefix: [],
    fields: [],
    extra: null,
    members: [],
  };
  shape.kind = kindOf(schema, types, plain, shape);
  shape.label = labelOf(shape);
  return shape;
}

function kindOf(schema: Schema, types: string[], plain: string[], shape: Shape): Kind {
  if (Array.isArray(schema.enum)) {
    const names = schema["x-enum-names"];
    const named = schema.enum.map((value, at) => ({
      value: value as Json,
      name: names?.[at] ?? valueText(value),
    }));
    shape.choices = named.filter((choice) => choice.value !== null);
    shape.nullable = named.length > shape.choices.length;
    return "enum";
  }
  if (Array.isArray(schema.anyOf)) {
    const members = schema.anyOf.map(shapeOf);
    shape.nullable =
      shape.nullable || members.some((member) => member.kind === "null" || member.nullable);
    shape.members = members.filter((member) => member.kind !== "null");
    return "union";
  }
  if (types.length > 0 && plain.length === 0) return "null";
  const format = schema.format ?? "";
  if (plain.includes("string") && FORMATS.has(format)) {
    const own = plain.every((type) => type === "string" || type === "number" || type === "integer");
    if (own && (plain.length === 1 || format === "duration" || format === "decimal"))
      return format as Kind;
  }
  if (plain.length > 1) {
    // `number` includes integers, so both together are one member.
    const types = plain.filter((type) => type !== "integer" || !plain.includes("number"));
    const { default: _, title: __, description: ___, ...rest } = schema;
    if (types.length > 1) {
      shape.members = types.map((type) => shapeOf({ ...rest, type }));
      return "union";
    }
    return "number";
  }
  switch (plain[0]) {
    case "string":
      return "string";
    case "integer":
    case "number":
    case "boolean":
      return plain[0];
    case "array":
      if (Array.isArray(schema.prefixItems)) {
        shape.prefix = schema.prefixItems.map(shapeOf);
        return "tuple";
      }
      shape.items = shapeOf(
        schema.items === undefined || schema.items === false ? {} : schema.items,
      );
      return "array";
    case "object": {
      const required = new Set(schema.required ?? []);
      const fields = Object.entries(schema.properties ?? {});
      shape.fields = fields.map(([name, inner]) => ({
        name,
        shape: shapeOf(inner),
        required: required.has(name),
      }));
      const extra = schema.additionalProperties;
      shape.extra = extra === false ? null : shapeOf(typeof extra === "object" ? extra : {});
      return "object";
    }
    default:
      return "any";
  }
}

function labelOf(shape: Shape): string {
  const { kind, schema } = shape;
  if (schema.title !== undefined && (kind === "object" || kind === "enum" || kind === "union"))
    return schema.title;
  if (kind === "array")
    return `${schema.uniqueItems === true ? "set" : "list"} of ${plural(shape.items?.label ?? "")}`;
  if (kind === "object" && shape.fields.length === 0)
    return shape.extra === null ? "empty object" : `map: text → ${shape.extra.label}`;
  if (kind === "string" && schema.format !== undefined) return schema.format;
  if (kind === "union") return shape.members.map((member) => member.label).join(" or ");
  return LABELS[kind];
}

function plural(label: string): string {
  if (/number$|integer$|decimal$|UUID$|date$|duration$|secret$|time$|path$|choice$/.test(label))
    return `${label}s`;
  return label;
}

function valueText(value: unknown): string {
  return typeof value === "string"
    ? value === ""
      ? "(empty text)"
      : value
    : JSON.stringify(value);
}

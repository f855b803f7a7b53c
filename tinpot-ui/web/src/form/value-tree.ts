// The values of a form as one tree, from which both the fields and the request derive.

import { isObject, type Json, sameJson, writeJson } from "../json/lossless-json";
import { base64OfText, durationText, hasOffset, toLocal } from "./formats";
import { canShow, isNumber, matchesShape, numberText } from "./matches-shape";
import type { Shape } from "./shape";

export type Node =
  /** Untouched, so not sent: the default of the function applies. */
  | { kind: "unset" }
  /** The value null, "no value". */
  | { kind: "null" }
  /** Text as typed. `source` is the original value, which is sent until the user types. */
  | { kind: "text"; text: string; source?: Json }
  | { kind: "bool"; value: boolean }
  | { kind: "choice"; index: number }
  /** A date and time in the browser's zone, or without a zone. */
  | { kind: "moment"; text: string; zoned: boolean; source?: Json }
  /**
   * Bytes in base64, or the text that stands for an upload, whose size is `size`. While it is
   * `sending`, there is no value.
   */
  | { kind: "bytes"; base64: string; name?: string; size?: number; sending?: true }
  | { kind: "list"; items: Item[] }
  | { kind: "object"; fields: Record<string, Node>; rows: Row[] }
  | { kind: "member"; index: number; node: Node }
  /** JSON as typed: for values of any type, and for those that the control cannot show. */
  | { kind: "raw"; text: string };

export interface Item {
  /** The identity of the item, which it keeps when it moves. */
  id: number;
  node: Node;
}

export interface Row extends Item {
  name: string;
}

export const UNSET: Node = { kind: "unset" };

let lastId = 0;

export function item(node: Node): Item {
  lastId += 1;
  return { id: lastId, node };
}

/** The secrets that the user typed, by path; JSON shows `***` in their place. */
export type Secrets = ReadonlyMap<string, string>;

/** The text that replaces a secret on the screen. */
export const MASK = "***";

export function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** Returns the node of a value; undefined stands for a missing one. */
export function fromJson(
  shape: Shape,
  value: Json | undefined,
  secrets: Secrets = new Map(),
  path = "",
): Node {
  if (value === undefined) return UNSET;
  if (shape.kind === "any") return { kind: "raw", text: writeJson(value, true) };
  if (value === null && (shape.nullable || shape.kind === "null")) return { kind: "null" };
  if (shape.kind === "password" && value === MASK) {
    const secret = secrets.get(path);
    return secret === undefined ? UNSET : { kind: "text", text: secret };
  }
  if (!canShow(shape, value)) return { kind: "raw", text: writeJson(value, true) };
  switch (shape.kind) {
    case "boolean":
      return { kind: "bool", value: value === true };
    case "enum":
      return {
        kind: "choice",
        index: shape.choices.findIndex((choice) => sameJson(choice.value, value)),
      };
    case "date-time": {
      const zoned = hasOffset(String(value));
      return {
        kind: "moment",
        text: zoned ? toLocal(String(value)) : String(value).replace(" ", "T"),
        zoned,
        source: value,
      };
    }
    case "binary":
      return { kind: "bytes", base64: String(value) };
    case "duration":
      return {
        kind: "text",
        text: isNumber(value) ? numberText(value) : durationText(String(value)),
        source: value,
      };
    case "array":
    case "tuple": {
      const inner = (at: number): Shape | null =>
        shape.kind === "array" ? shape.items : (shape.prefix[at] ?? null);
      const items = (value as Json[]).map((one, at) => {
        const own = inner(at);
        return item(own === null ? UNSET : fromJson(own, one, secrets, `${path}[${at}]`));
      });
      if (shape.kind === "tuple")
        while (items.length < shape.prefix.length) items.push(item(UNSET));
      return { kind: "list", items };
    }
    case "object":
      return isObject(value) ? objectNode(shape, value, secrets, path) : UNSET;
    case "union": {
      const index = shape.members.findIndex((member) => matchesShape(member, value));
      const member = shape.members[index];
      return member === undefined
        ? UNSET
        : { kind: "member", index, node: fromJson(member, value, secrets, path) };
    }
    default:
      return {
        kind: "text",
        text: isNumber(value) ? numberText(value) : String(value),
        source: value,
      };
  }
}

function objectNode(
  shape: Shape,
  value: Record<string, Json>,
  secrets: Secrets,
  path: string,
): Node {
  const fields: Record<string, Node> = Object.create(null) as Record<string, Node>;
  for (const field of shape.fields) {
    // Not what every object inherits, such as `constructor`.
    const own = Object.hasOwn(value, field.name) ? value[field.name] : undefined;
    fields[field.name] = fromJson(field.shape, own, secrets, join(path, field.name));
  }
  const rows = Object.entries(value)
    .filter(([name]) => !(name in fields))
    .map(([name, inner]) => {
      // An unknown name stays: the user has to remove it.
      const node =
        shape.extra === null
          ? rawNode(inner)
          : fromJson(shape.extra, inner, secrets, join(path, name));
      return { ...item(node), name };
    });
  return { kind: "object", fields, rows };
}

function rawNode(value: Json): Node {
  return { kind: "raw", text: writeJson(value, true) };
}

/** Returns the first node of a field that the user fills in: empty, never `0` or `""`. */
export function begin(shape: Shape): Node {
  switch (shape.kind) {
    case "array":
      return { kind: "list", items: [] };
    case "tuple":
      return { kind: "list", items: shape.prefix.map(() => item(UNSET)) };
    case "object":
      return objectNode(shape, {}, new Map(), "");
    default:
      return UNSET;
  }
}

/** Returns the node to show: for an unset one the default, or an empty frame to fill in. */
export function shown(shape: Shape, node: Node, required: boolean): Node {
  if (node.kind !== "unset") return node;
  if (shape.hasDefault) return fromJson(shape, shape.default);
  if (shape.kind === "tuple" || shape.kind === "array") return begin(shape);
  if (shape.kind === "object" && (shape.fields.length === 0 || (required && !shape.nullable)))
    return begin(shape);
  return node;
}

/** Returns the node of a text as bytes. */
export function bytesOfText(text: string): Node {
  return { kind: "bytes", base64: base64OfText(text) };
}

/** Returns true if nothing was entered: Enter adds no second empty item. */
export function isBlank(node: Node): boolean {
  return node.kind === "unset" || (node.kind === "text" && node.text === "");
}

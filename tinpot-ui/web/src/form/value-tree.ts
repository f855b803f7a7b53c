// What a form holds. There is one tree; what is drawn and what is sent both follow from it.

import { isObject, type Json, sameJson, writeJson } from "../json/lossless-json";
import { base64OfText, hasOffset, sayDuration, toLocal } from "./formats";
import { isNumber, matchesShape, numberText, shows } from "./matches-shape";
import type { Shape } from "./shape";

export type Node =
  /** Not touched, so not sent: the function's default holds. */
  | { kind: "unset" }
  /** "No value". */
  | { kind: "null" }
  /** As typed. `source` is the value it was made from, and is sent as it was as long as nobody has typed. */
  | { kind: "text"; text: string; source?: Json }
  | { kind: "bool"; value: boolean }
  | { kind: "choice"; index: number }
  /** A date and time on the browser's clock, with its offset or without. */
  | { kind: "moment"; text: string; zoned: boolean; source?: Json }
  | { kind: "bytes"; base64: string; name?: string }
  | { kind: "list"; items: Item[] }
  | { kind: "object"; fields: Record<string, Node>; rows: Row[] }
  | { kind: "member"; index: number; node: Node }
  /** JSON as typed: for what may be anything, and for values that the control of their field cannot show. */
  | { kind: "raw"; text: string };

export interface Item {
  /** Stays with the item when it is moved. */
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

/** Gives back what the user has typed for a secret at a path, when only `***` of it is known. */
export type Secrets = ReadonlyMap<string, string>;

/** How a secret is written where it must not be seen. */
export const MASK = "***";

export function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** The node of a value; undefined is a value that is not there. */
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
  if (!shows(shape, value)) return { kind: "raw", text: writeJson(value, true) };
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
        text: isNumber(value) ? numberText(value) : sayDuration(String(value)),
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
    fields[field.name] = fromJson(field.shape, value[field.name], secrets, join(path, field.name));
  }
  const rows = Object.entries(value)
    .filter(([name]) => !(name in fields))
    .map(([name, inner]) => {
      // A name that should not be there stays there: it is the user's to take out.
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

/** What a field begins with when the user gives it a value: empty, never `0` or `""`. */
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

/** What is drawn of a node: of one that is not set, the default, or the empty frame of what has to be filled in. */
export function shown(shape: Shape, node: Node, required: boolean): Node {
  if (node.kind !== "unset") return node;
  if (shape.hasDefault) return fromJson(shape, shape.default);
  if (shape.kind === "tuple" || shape.kind === "array") return begin(shape);
  if (shape.kind === "object" && (shape.fields.length === 0 || (required && !shape.nullable)))
    return begin(shape);
  return node;
}

/** Text as bytes. */
export function bytesOfText(text: string): Node {
  return { kind: "bytes", base64: base64OfText(text) };
}

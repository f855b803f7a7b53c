// The nodes of a JSON value shown as a tree. A branch is read only once it is opened.

import { NumberText } from "../json/lossless-json";

export type Kind = "object" | "array" | "string" | "number" | "boolean" | "null";

/** The entries of a branch that are shown at once. */
export const ENTRIES_STEP = 100;
/** The characters of a text that are shown at once. */
export const TEXT_STEP = 2_000;

export function kindOf(value: unknown): Kind {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (value instanceof NumberText) return "number";
  const kind = typeof value;
  return kind === "object" || kind === "string" || kind === "boolean" ? kind : "number";
}

export function isBranch(value: unknown): value is object {
  const kind = kindOf(value);
  return kind === "object" || kind === "array";
}

export function sizeOf(value: object): number {
  return Array.isArray(value) ? value.length : Object.keys(value).length;
}

/** Returns the first entries of a branch, with their names. */
export function entriesOf(value: object, limit: number): [string, unknown][] {
  if (Array.isArray(value)) {
    return (value as unknown[]).slice(0, limit).map((entry, index) => [String(index), entry]);
  }
  const record = value as Record<string, unknown>;
  return Object.keys(record)
    .slice(0, limit)
    .map((name) => [name, record[name]]);
}

/** Returns the text of a closed branch. */
export function summaryOf(value: object): string {
  const size = sizeOf(value);
  if (Array.isArray(value))
    return size === 0 ? "[]" : `[ ${size} ${size === 1 ? "entry" : "entries"} ]`;
  if (size === 0) return "{}";
  const names = Object.keys(value).slice(0, 4);
  const listed = names
    .map((name) => (name.length > 24 ? `${name.slice(0, 23)}…` : name))
    .join(", ");
  return size > names.length ? `{ ${listed}, … ${size} }` : `{ ${listed} }`;
}

/** Returns true if a branch is open at first: small ones are, as far as they fit on a screen. */
export function isOpenAtFirst(value: object, depth: number): boolean {
  return depth === 0 ? sizeOf(value) <= 200 : depth < 3 && sizeOf(value) <= 12;
}

/** Returns the JSON of a leaf. */
export function leafText(value: unknown): string {
  return value instanceof NumberText ? value.text : (JSON.stringify(value) ?? "null");
}

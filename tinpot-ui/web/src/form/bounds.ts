// The bounds of a schema: checks, and hints in words.
import type { Schema } from "../api/types";
import { type Json, NumberText } from "../json/lossless-json";
import { durationSeconds, isUpload } from "./formats";
import { isNumber, numberText } from "./matches-shape";
import type { Kind } from "./shape";

/** Returns −1, 0 or 1; compares integers of any size exactly. */
function compare(a: number | NumberText, b: number | NumberText): number {
  const [left, right] = [numberText(a), numberText(b)];
  if (/^-?\d+$/.test(left) && /^-?\d+$/.test(right)) {
    const [x, y] = [BigInt(left), BigInt(right)];
    return x < y ? -1 : x > y ? 1 : 0;
  }
  return Math.sign(Number(left) - Number(right));
}

function isMultiple(value: number, of: number): boolean {
  if (of === 0) return true;
  const times = value / of;
  return Math.abs(times - Math.round(times)) < 1e-9 * Math.max(1, Math.abs(times));
}

const say = (bound: unknown): string =>
  isNumber(bound as Json) ? numberText(bound as number) : String(bound);

/** Returns a number that orders values of a format, or null if the format has no order. */
function order(kind: Kind, text: string): number | null {
  if (kind === "duration") return durationSeconds(text);
  if (kind === "date" || kind === "date-time") return Date.parse(text.replace(" ", "T"));
  if (kind === "time") {
    const [hours, minutes, seconds] = text
      .replace(/(Z|[+-]\d\d:\d\d)$/, "")
      .split(":")
      .map(Number);
    return ((hours ?? 0) * 60 + (minutes ?? 0)) * 60 + (seconds ?? 0);
  }
  return null;
}

/** Returns the error of a value that is out of its bounds, or null. */
export function boundsProblem(schema: Schema, value: Json, kind: Kind): string | null {
  const asNumber = isNumber(value)
    ? value
    : kind === "decimal" && typeof value === "string"
      ? new NumberText(value)
      : null;
  if (asNumber !== null) {
    const bound = (
      name: "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum",
    ): number | null => {
      const limit = schema[name] as Json | undefined;
      return limit !== undefined && isNumber(limit) ? compare(asNumber, limit) : null;
    };
    const [low, high, above, below] = [
      bound("minimum"),
      bound("maximum"),
      bound("exclusiveMinimum"),
      bound("exclusiveMaximum"),
    ];
    if (low !== null && low < 0) return `must be at least ${say(schema.minimum)}`;
    if (high !== null && high > 0) return `must be at most ${say(schema.maximum)}`;
    if (above !== null && above <= 0) return `must be greater than ${say(schema.exclusiveMinimum)}`;
    if (below !== null && below >= 0) return `must be less than ${say(schema.exclusiveMaximum)}`;
    const step = schema.multipleOf as Json | undefined;
    if (
      step !== undefined &&
      isNumber(step) &&
      !isMultiple(Number(numberText(asNumber)), Number(numberText(step)))
    )
      return `must be a multiple of ${say(step)}`;
    return null;
  }
  if (typeof value !== "string") return null;
  const place = order(kind, value);
  if (place !== null && !Number.isNaN(place)) {
    const against = (limit: string | undefined): number | null => {
      const other = limit === undefined ? null : order(kind, limit);
      return other === null || Number.isNaN(other) ? null : Math.sign(place - other);
    };
    if (against(schema.formatMinimum) === -1)
      return kind === "duration"
        ? `must be at least ${schema.formatMinimum}`
        : `must not be before ${schema.formatMinimum}`;
    if (against(schema.formatMaximum) === 1)
      return kind === "duration"
        ? `must be at most ${schema.formatMaximum}`
        : `must not be after ${schema.formatMaximum}`;
    const [above, below] = [
      against(schema.formatExclusiveMinimum),
      against(schema.formatExclusiveMaximum),
    ];
    if (above !== null && above <= 0)
      return `must be ${kind === "duration" ? "greater than" : "after"} ${schema.formatExclusiveMinimum}`;
    if (below !== null && below >= 0)
      return `must be ${kind === "duration" ? "less than" : "before"} ${schema.formatExclusiveMaximum}`;
    return null;
  }
  // Counts code points, as the server does.
  const length =
    schema.minLength !== undefined || schema.maxLength !== undefined ? [...value].length : 0;
  const unit =
    kind === "binary" ? "base64 characters" : schema.minLength === 1 ? "character" : "characters";
  if (schema.minLength !== undefined && length < schema.minLength && !isUpload(value))
    return `must have at least ${schema.minLength} ${unit} (has ${length})`;
  if (schema.maxLength !== undefined && length > schema.maxLength)
    return `must have at most ${schema.maxLength} characters (has ${length})`;
  if (schema.pattern !== undefined && schema.pattern !== "" && !matches(schema.pattern, value))
    return `must match the pattern ${schema.pattern}`;
  return null;
}

function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    // A pattern that this browser cannot read; the server checks it.
    return true;
  }
}

/** Returns the bounds in words, or an empty text. */
export function boundsHint(schema: Schema): string {
  const hints: string[] = [];
  const range = (low: unknown, high: unknown, units = ""): void => {
    const unit = (high ?? low) === 1 ? units.replace(/s$/, "") : units;
    if (low !== undefined && high !== undefined)
      hints.push(low === high ? `${say(low)}${unit}` : `${say(low)} to ${say(high)}${unit}`);
    else if (low !== undefined) hints.push(`at least ${say(low)}${unit}`);
    else if (high !== undefined) hints.push(`at most ${say(high)}${unit}`);
  };
  range(schema.minimum, schema.maximum);
  if (schema.exclusiveMinimum !== undefined)
    hints.push(`greater than ${say(schema.exclusiveMinimum)}`);
  if (schema.exclusiveMaximum !== undefined)
    hints.push(`less than ${say(schema.exclusiveMaximum)}`);
  if (schema.multipleOf !== undefined) hints.push(`in steps of ${say(schema.multipleOf)}`);
  range(schema.formatMinimum, schema.formatMaximum);
  if (schema.formatExclusiveMinimum !== undefined)
    hints.push(`after ${schema.formatExclusiveMinimum}`);
  if (schema.formatExclusiveMaximum !== undefined)
    hints.push(`before ${schema.formatExclusiveMaximum}`);
  if (schema.contentEncoding === undefined)
    range(schema.minLength === 1 ? undefined : schema.minLength, schema.maxLength, " characters");
  if (schema.prefixItems === undefined) range(schema.minItems, schema.maxItems, " items");
  range(schema.minProperties, schema.maxProperties, " entries");
  if (schema.uniqueItems === true) hints.push("no duplicates");
  if (schema.pattern !== undefined) hints.push(`matches ${schema.pattern}`);
  return hints.join(", ");
}

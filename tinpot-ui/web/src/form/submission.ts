// Turns the tree of a form into the JSON to send, and collects its errors.
import type { Violation } from "../api/types";
import {
  isObject,
  type Json,
  JsonError,
  type JsonObject,
  numberOf,
  parseJson,
  sameJson,
  writeJson,
} from "../json/lossless-json";
import { count } from "../ui/count";
import { boundsProblem } from "./bounds";
import { formatProblem, offsetAt, parseDuration } from "./formats";
import type { Shape } from "./shape";
import { join, MASK, type Node } from "./value-tree";

export interface FieldProblem extends Violation {
  /** If true, a value is missing, which is an error only once the form is submitted. */
  missing?: true;
}

export interface Written {
  /** The valid values. */
  value: JsonObject;
  problems: FieldProblem[];
  /** The secrets that `***` stands for, by path. */
  secrets: Map<string, string>;
}

/** The treatment of secrets: `send` to the server, `mask` on the screen, `omit` from storage. */
export type SecretsMode = "send" | "mask" | "omit";

class Writer {
  readonly problems: FieldProblem[] = [];
  readonly secrets = new Map<string, string>();

  constructor(private readonly mode: SecretsMode) {}

  private wrong(path: string, message: string): undefined {
    this.problems.push({ path, message });
  }

  private missing(path: string): undefined {
    this.problems.push({ path, message: "Required", missing: true });
  }

  /** Returns the value of a node, or undefined if it is not sent. */
  write(shape: Shape, node: Node, required: boolean, path: string): Json | undefined {
    switch (node.kind) {
      case "unset":
        return this.unset(shape, required, path);
      case "null":
        return null;
      case "bool":
        return node.value;
      case "choice":
        return shape.choices[node.index]?.value;
      case "text":
        return node.source === undefined || shape.kind === "password"
          ? this.text(shape, node.text, required, path)
          : this.checked(shape, node.source, path);
      case "moment":
        return this.moment(shape, node, required, path);
      case "bytes":
        if (node.sending) return this.wrong(path, "is not uploaded yet");
        return this.checked(shape, node.base64, path);
      case "raw":
        return this.raw(shape, node.text, required, path);
      case "list":
        return shape.kind === "tuple"
          ? this.tuple(
              shape,
              node.items.map((one) => one.node),
              required,
              path,
            )
          : this.list(
              shape,
              node.items.map((one) => one.node),
              path,
            );
      case "object":
        return this.object(shape, node, path);
      case "member": {
        const member = shape.members[node.index];
        return member === undefined ? undefined : this.write(member, node.node, true, path);
      }
    }
  }

  private unset(shape: Shape, required: boolean, path: string): Json | undefined {
    if (!required) return undefined;
    if (shape.kind === "null") return null;
    // The fields of a required object or tuple report what is missing.
    if (shape.kind === "object" && !shape.nullable && shape.fields.length > 0) {
      return this.object(shape, { kind: "object", fields: {}, rows: [] }, path);
    }
    if (shape.kind === "tuple" && !shape.nullable) return this.tuple(shape, [], true, path);
    return this.missing(path);
  }

  /** Returns the value of a field that was cleared: see "Forms" in `docs/types.md`. */
  private cleared(shape: Shape, required: boolean, path: string): Json | undefined {
    if (!required) return undefined;
    if (shape.nullable && !shape.hasDefault) return null;
    return this.missing(path);
  }

  private text(shape: Shape, text: string, required: boolean, path: string): Json | undefined {
    switch (shape.kind) {
      case "string":
        return text === "" && shape.schema.format !== undefined
          ? this.cleared(shape, required, path)
          : this.checked(shape, text, path);
      case "password":
        return text === "" ? this.cleared(shape, required, path) : this.secret(shape, text, path);
      case "path":
        return text === "" ? this.cleared(shape, required, path) : this.checked(shape, text, path);
    }
    const trimmed = text.trim();
    if (trimmed === "") return this.cleared(shape, required, path);
    switch (shape.kind) {
      case "integer":
        if (!/^[+-]?\d+$/.test(trimmed))
          return this.wrong(
            path,
            /^[+-]?\d*[.,]\d*$/.test(trimmed) ? "must be an integer" : "must be a number",
          );
        return this.checked(
          shape,
          numberOf(trimmed.replace(/^\+/, "").replace(/^(-?)0+(?=\d)/, "$1")),
          path,
        );
      case "number": {
        const found = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(trimmed);
        if (found === null || `${found[2]}${found[3] ?? ""}` === "")
          return this.wrong(path, "must be a number");
        if (!Number.isFinite(Number(trimmed))) return this.wrong(path, "must be a finite number");
        const [, sign, whole = "", fraction = "", exponent] = found;
        const written = `${sign === "-" ? "-" : ""}${whole.replace(/^0+(?=\d)/, "") || "0"}${fraction === "" ? "" : `.${fraction}`}${exponent === undefined ? "" : `e${exponent}`}`;
        return this.checked(shape, numberOf(written), path);
      }
      case "duration": {
        const iso = parseDuration(trimmed);
        return iso === null
          ? this.wrong(path, "must be a duration, such as 1h 30m or 90 (seconds)")
          : this.checked(shape, iso, path);
      }
      default:
        return this.checked(shape, trimmed, path);
    }
  }

  private secret(shape: Shape, text: string, path: string): Json | undefined {
    if (this.mode === "omit") return undefined;
    this.secrets.set(path, text);
    const checked = this.checked(shape, text, path);
    return this.mode === "mask" && checked !== undefined ? MASK : checked;
  }

  private moment(
    shape: Shape,
    node: Extract<Node, { kind: "moment" }>,
    required: boolean,
    path: string,
  ): Json | undefined {
    if (node.source !== undefined) return this.checked(shape, node.source, path);
    if (node.text === "") return this.cleared(shape, required, path);
    if (!node.zoned) return this.checked(shape, node.text, path);
    const problem = formatProblem("date-time", node.text);
    if (problem !== null) return this.wrong(path, problem);
    const offset = offsetAt(node.text);
    if (offset === null)
      return this.wrong(path, "does not exist in your time zone: the clock skips it");
    return this.checked(shape, node.text + offset, path);
  }

  private raw(shape: Shape, text: string, required: boolean, path: string): Json | undefined {
    if (text.trim() === "")
      return shape.kind === "any" && !required ? undefined : this.missing(path);
    let value: Json;
    try {
      value = parseJson(text);
    } catch (error) {
      // Plain text is text where anything fits, unless it was to be a list, an object or a string.
      if (shape.kind === "any" && !/^\s*[[{"]/.test(text)) return text;
      return this.wrong(
        path,
        `must be JSON: ${error instanceof JsonError ? error.message : String(error)}`,
      );
    }
    return value;
  }

  private list(shape: Shape, nodes: Node[], path: string): Json | undefined {
    const { items, schema } = shape;
    const values: Json[] = [];
    for (const [at, node] of nodes.entries()) {
      const value = items === null ? undefined : this.write(items, node, true, `${path}[${at}]`);
      if (value === undefined) continue;
      if (schema.uniqueItems === true) {
        const first = values.findIndex((other) => sameJson(other, value));
        if (first >= 0)
          this.wrong(`${path}[${at}]`, `repeats item ${first + 1}: duplicates are not allowed`);
      }
      values.push(value);
    }
    const [least, most] = [schema.minItems ?? 0, schema.maxItems ?? Infinity];
    if (nodes.length < least)
      this.wrong(path, `must have at least ${count(least, "item")} (has ${nodes.length})`);
    if (nodes.length > most)
      this.wrong(path, `must have at most ${count(most, "item")} (has ${nodes.length})`);
    // A list of secrets without its items would be another list.
    if (this.mode === "omit" && items?.kind === "password" && nodes.length > 0) return undefined;
    return values;
  }

  private tuple(shape: Shape, nodes: Node[], required: boolean, path: string): Json | undefined {
    const least = shape.schema.minItems ?? shape.prefix.length;
    const blank = (node: Node | undefined): boolean => node === undefined || node.kind === "unset";
    if (!required && nodes.every(blank)) return undefined;
    let last = shape.prefix.length;
    while (last > least && blank(nodes[last - 1])) last -= 1;
    const values: Json[] = [];
    for (const [at, inner] of shape.prefix.slice(0, last).entries()) {
      const value = this.write(inner, nodes[at] ?? { kind: "unset" }, true, `${path}[${at}]`);
      if (value !== undefined) values.push(value);
    }
    return values.length === last ? values : undefined;
  }

  object(shape: Shape, node: Extract<Node, { kind: "object" }>, path: string): JsonObject {
    const value = Object.create(null) as JsonObject;
    for (const field of shape.fields) {
      const inner = this.write(
        field.shape,
        node.fields[field.name] ?? { kind: "unset" },
        field.required,
        join(path, field.name),
      );
      if (inner !== undefined) value[field.name] = inner;
    }
    for (const row of node.rows) {
      const own = join(path, row.name);
      if (row.name === "" && row.node.kind === "unset") {
        this.problems.push({ path: own, message: "Name required", missing: true });
        continue;
      }
      if (row.name in value) this.wrong(own, "repeats a name");
      if (shape.extra === null) this.wrong(own, unknownName(shape, path));
      const names = shape.schema.propertyNames;
      const problem = names === undefined ? null : nameProblem(names, row.name);
      if (problem !== null) this.wrong(own, `the name ${problem}`);
      const inner = this.write(shape.extra ?? ANY, row.node, true, own);
      if (inner !== undefined) value[row.name] = inner;
    }
    const size = Object.keys(value).length;
    if (size < (shape.schema.minProperties ?? 0))
      this.wrong(
        path,
        `must have at least ${count(shape.schema.minProperties ?? 0, "entry", "entries")} (has ${size})`,
      );
    if (size > (shape.schema.maxProperties ?? Infinity))
      this.wrong(
        path,
        `must have at most ${count(shape.schema.maxProperties ?? 0, "entry", "entries")} (has ${size})`,
      );
    return value;
  }

  /** Returns the value if it has the right format and is within its bounds. */
  private checked(shape: Shape, value: Json, path: string): Json | undefined {
    const format =
      typeof value === "string" && shape.kind !== "string"
        ? formatProblem(shape.kind, value)
        : null;
    const problem = format ?? boundsProblem(shape.schema, value, shape.kind);
    if (problem === null) return value;
    this.wrong(path, problem);
    return undefined;
  }
}

const ANY: Shape = {
  kind: "any",
  schema: {},
  nullable: false,
  label: "",
  hasDefault: false,
  default: null,
  choices: [],
  items: null,
  prefix: [],
  fields: [],
  extra: null,
  members: [],
};

/** Returns the error of a name that an object does not have, in the words of the coordinator. */
function unknownName(shape: Shape, path: string): string {
  const names = shape.fields.map((field) => field.name);
  const shown = names.slice(0, 8).join(", ") + (names.length > 8 ? ", …" : "");
  return `is not a ${path === "" ? "parameter" : "field"}; ${names.length === 0 ? "omit it" : `use ${shown}`}`;
}

function nameProblem(
  schema: { enum?: unknown[]; format?: string; pattern?: string },
  name: string,
): string | null {
  if (Array.isArray(schema.enum) && !schema.enum.includes(name))
    return `must be one of ${schema.enum.map((one) => writeJson(one as Json)).join(", ")}`;
  return (
    (schema.format === undefined ? null : formatProblem(schema.format, name)) ??
    boundsProblem({ pattern: schema.pattern ?? "" }, name, "string")
  );
}

/** Returns the values that a form sends, and their errors. */
export function writeForm(shape: Shape, node: Node, mode: SecretsMode = "send"): Written {
  const writer = new Writer(mode);
  const value = writer.write(shape, node, true, "");
  return {
    value: isObject(value) ? value : {},
    problems: writer.problems,
    secrets: writer.secrets,
  };
}
